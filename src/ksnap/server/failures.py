"""Every failure as the envelope of exactly four keys (contract, section 1), whoever raised it.

`envelope` is for middlewares, which answer without FastAPI; `install` gives FastAPI handlers for our own errors, its
validation's, the router's 404 and 405, and what nobody expected: that says its request id alone.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ksnap.errors import InvalidInput, KsnapError, MethodNotAllowed, NotAuthenticated, NotFound, TooLarge, Unavailable
from ksnap.server import dashboard_failures
from ksnap.server.paths import is_dashboard

_log = structlog.get_logger(__name__)
# More would only repeat themselves; a list of a thousand items may be wrong in each.
PROBLEMS_SHOWN = 5


def envelope(error: KsnapError) -> dict[str, object]:
    """The body of a failure."""
    return {"success": False, "error": error.message, "details": error.explanation, "code": error.code}


def response(
    error: KsnapError, headers: Mapping[str, str] | None = None, *, more: Mapping[str, object] | None = None
) -> Response:
    """The whole answer of a failure; `more` for a route whose failures have further keys."""
    extra = dict(headers or {})
    if isinstance(error, NotAuthenticated):
        extra["WWW-Authenticate"] = "Bearer"
    return Response(
        json.dumps({**envelope(error), **(more or {})}, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=error.status,
        headers=extra,
        media_type="application/json",
    )


def answer(scope: Scope, error: KsnapError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer of a failure in the form of the path that was asked for."""
    if is_dashboard(scope["path"]):
        return dashboard_failures.response(error, scope, headers or {})
    return response(error, headers)


def unexpected(request_id: str) -> KsnapError:
    """What a client learns of an error in ksnap itself."""
    return KsnapError("Internal error", details=request_id)


def install(app: FastAPI) -> None:
    """Make FastAPI answer with the envelope only."""
    app.add_exception_handler(KsnapError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, KsnapError)  # noqa: S101 - Starlette's handlers are typed by the base class
    if error.status >= 500:
        _log.warning("request_failed", code=error.code, error=error.message, details=error.details, exc_info=error)
    return answer(request.scope, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)  # noqa: S101 - as above
    return answer(request.scope, InvalidInput("The request is not valid", details=_problems(error.errors())))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    if is_dashboard(request.url.path) and error.status_code == 404:
        return Response("404: Page Not Found", status_code=404, media_type="text/plain")
    return answer(request.scope, _from_http(request, error), error.headers)


def _from_http(request: Request, error: HTTPException) -> KsnapError:
    where = f"{request.method} {request.url.path[:200]}"
    match error.status_code:
        case 404:
            return NotFound("No such path", details=where, hint="See /docs for all paths")
        case 405:
            return MethodNotAllowed("The path does not know this method", details=where)
        case 413:
            return TooLarge("The body is too large", details=where)
        case 401 | 403:
            return NotAuthenticated("Not authenticated", details=where)
        case status if status < 500:
            return InvalidInput("The request is not valid", details=str(error.detail)[:200])
        case _:
            return Unavailable("The request cannot be answered now", details=where)


def _problems(errors: Sequence[Any]) -> str:
    """`field: what is wrong`, never with the value: it may be a password."""
    shown = [_problem(each) for each in errors[:PROBLEMS_SHOWN]]
    if len(errors) > PROBLEMS_SHOWN:
        shown.append(f"and {len(errors) - PROBLEMS_SHOWN} more")
    return "; ".join(shown)


def _problem(error: Mapping[str, Any]) -> str:
    place = [str(part) for part in error.get("loc", ())]
    if error.get("type") == "json_invalid":
        return f"body: not JSON at character {place[-1]}"
    name = ".".join(place[1:]) or "".join(place[:1])
    return f"{name[:200]}: {str(error.get('msg', 'invalid')).removeprefix('Value error, ')}"
