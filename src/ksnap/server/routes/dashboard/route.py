"""What holds for each route of the dashboard before its handler: CSRF, and which media types go in and out.

Routers take `DashboardRoute` as their `route_class`: a refused request's body is never read.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ksnap.dashboard.statuses import CsrfFailed
from ksnap.errors import InvalidInput, KsnapError, NotAuthenticated
from ksnap.server.answers import media_types
from ksnap.server.middleware.admission import token_of
from ksnap.server.services import services_of

UNCHECKED = "/appdeployment/validate/"
"""Validators change nothing, and their page asks them at every key."""
ANY_JSON = frozenset({"application/json", "application/*", "*/*", ""})


class NotAcceptable(KsnapError):
    code = "VALIDATION_ERROR"
    status = 406


class UnsupportedMediaType(KsnapError):
    code = "VALIDATION_ERROR"
    status = 415


class DashboardRoute(APIRoute):
    """Checks a request against the contract's sections 1 and 4."""

    produces: frozenset[str] = ANY_JSON

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def checked(request: Request) -> Response:
            _check_path(request)
            if request.method == "POST":
                _check_csrf(request)
            if request.method in {"POST", "PUT"}:
                _check_content_type(request)
            accepted = media_types(request.headers.get("accept", "*/*"))
            if not accepted & self.produces:
                raise NotAcceptable("The answer is of another type", details=", ".join(sorted(self.produces)))
            return await answer(request)

        return checked


class TextRoute(DashboardRoute):
    """For answers that are text, or a file: whatever a client accepts."""

    produces = ANY_JSON | {"text/plain", "text/*", "application/yaml", "application/octet-stream", "application/x-tar"}


class EventRoute(DashboardRoute):
    """For answers that do not end."""

    produces = ANY_JSON | {"text/event-stream", "text/*"}


def _check_path(request: Request) -> None:
    """No part of a path climbs out of its place in the API server's path, which has it as a name."""
    if any(part in {".", ".."} for part in request.path_params.values()):
        raise InvalidInput("The path is not understood", details="a dot is no name in Kubernetes")


def _check_csrf(request: Request) -> None:
    if UNCHECKED in request.url.path:
        return
    tokens = services_of(request).csrf
    if not tokens.accepts(request.headers.get("x-csrf-token", ""), request.url.path, bearer_of(request)):
        raise CsrfFailed


def bearer_of(request: Request) -> str:
    """The token that came along, if it is in any form one."""
    try:
        return token_of(request.scope)
    except NotAuthenticated:
        return ""


def _check_content_type(request: Request) -> None:
    """JSON. Where there is no body its type says nothing: restart, pause, scale and trigger have none, and clients call
    that one thing or another."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and given != "application/json":
        raise UnsupportedMediaType(
            "The body is of a type that is not understood", details=given or "no type", hint="Send application/json"
        )
