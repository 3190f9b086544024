"""What the dashboard's page is set up with: settings, pinned resources, version, banner (contract, sections 2 and 14).

At root paths, as the last Dashboard has them, and below `/api/v1` at those of version 2.7. Everyone reads them without
a token; administrators of ksnap change them.
"""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from ksnap import __version__
from ksnap.dashboard.page_settings import DEFAULTS, Document
from ksnap.errors import InvalidInput, NotPermitted
from ksnap.identity.principal import Principal, Role
from ksnap.server.access import principal_of, require
from ksnap.server.answers import json_answer
from ksnap.server.messages import Line
from ksnap.server.messages import Request as Body
from ksnap.server.routes.dashboard.context import caller_in
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.services import InServices

root_router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
older_router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
_administrator = require(Role.ADMINISTRATOR)
Count = Annotated[int, Field(ge=0, le=1_000_000)]
READING = frozenset({"get", "list", "watch"})


def _administrator_in(request: Request) -> Principal:
    """An administrator of ksnap; the right to change some cluster is none to change this."""
    if request.scope["state"].get("passed_on_token") is not None:
        raise NotPermitted(
            "The page's settings are ksnap's own",
            details="the token is a cluster's",
            hint="Log in to ksnap as an administrator",
        )
    return _administrator.held_against(principal_of(request))


Administrator = Annotated[Principal, Depends(_administrator_in)]


class NewSettings(Body):
    """What is left out gets its default."""

    clusterName: Line = DEFAULTS["clusterName"]  # noqa: N815 - the wire's names, kept as they are
    itemsPerPage: Annotated[int, Field(ge=1, le=10_000)] = DEFAULTS["itemsPerPage"]  # noqa: N815
    labelsLimit: Count = DEFAULTS["labelsLimit"]  # noqa: N815
    logsAutoRefreshTimeInterval: Count = DEFAULTS["logsAutoRefreshTimeInterval"]  # noqa: N815
    resourceAutoRefreshTimeInterval: Count = DEFAULTS["resourceAutoRefreshTimeInterval"]  # noqa: N815
    disableAccessDeniedNotifications: bool = False  # noqa: N815
    hideAllNamespaces: bool = False  # noqa: N815
    defaultNamespace: Line = DEFAULTS["defaultNamespace"]  # noqa: N815
    namespaceFallbackList: Annotated[list[Line], Field(max_length=200)] = DEFAULTS["namespaceFallbackList"]  # noqa: N815


class Pin(Body):
    kind: Annotated[Line, Field(min_length=1)]
    name: Annotated[Line, Field(min_length=1)]
    displayName: Line = ""  # noqa: N815
    namespaced: bool = False
    namespace: Line = ""

    def resource(self) -> dict[str, Any]:
        """As it is kept; without a namespace it has no such key."""
        found = self.model_dump()
        return found if self.namespace else {key: value for key, value in found.items() if key != "namespace"}


@root_router.get("/settings", summary="The page's settings")
@older_router.get("/settings/global", summary="The page's settings (older path)")
async def settings(services: InServices) -> Response:
    """`ETag` names their version."""
    return _with_version(await services.page_settings.settings(), lambda content: content)


@root_router.put("/settings", summary="Save the page's settings", status_code=204)
async def save(
    by: Administrator, services: InServices, body: NewSettings, if_match: Annotated[str, Header()] = ""
) -> Response:
    """With `If-Match` only if they are still of that version, 409 otherwise."""
    await services.page_settings.save(by, body.model_dump(), _seen(if_match))
    return Response(status_code=204)


@older_router.put("/settings/global", summary="Save the page's settings (older path)", status_code=201)
async def save_older(
    by: Administrator, services: InServices, body: NewSettings, if_match: Annotated[str, Header()] = ""
) -> Response:
    saved = await services.page_settings.save(by, body.model_dump(), _seen(if_match))
    return json_answer(saved.content, 201)


@root_router.get("/settings/cani", summary="May I save the settings?")
@root_router.get("/settings/pinnedresources/cani", summary="May I pin?")
@older_router.get("/settings/global/cani", summary="May I save the settings? (older path)")
@older_router.get("/settings/pinner/cani", summary="May I pin? (older path)")
async def can_i(request: Request, verb: Annotated[str, Query(max_length=40)] = "update") -> Response:
    caller_in(request)  # NotAuthenticated without a token
    principal = request.scope["state"].get("principal")
    may_change = isinstance(principal, Principal) and principal.role.may_act_as(Role.ADMINISTRATOR)
    return json_answer({"allowed": verb.lower() in READING or may_change})


@root_router.get("/settings/pinnedresources", summary="The pinned resources")
@older_router.get("/settings/pinner", summary="The pinned resources (older path)")
async def pinned(services: InServices) -> Response:
    return _with_version(await services.page_settings.pinned(), lambda content: content["items"])


@root_router.put("/settings/pinnedresources", summary="Pin a resource", status_code=204)
@older_router.put("/settings/pinner", summary="Pin a resource (older path)", status_code=204)
async def pin(by: Administrator, services: InServices, body: Pin) -> Response:
    await services.page_settings.pin(by, body.resource())
    return Response(status_code=204)


@root_router.delete("/settings/pinnedresources/{kind}/{name}", summary="Unpin a resource", status_code=204)
@root_router.delete(
    "/settings/pinnedresources/{kind}/{namespace}/{name}", summary="Unpin a resource of a namespace", status_code=204
)
@older_router.delete("/settings/pinner/{kind}/{name}", summary="Unpin a resource (older path)", status_code=204)
@older_router.delete(
    "/settings/pinner/{kind}/{namespace}/{name}",
    summary="Unpin a resource of a namespace (older path)",
    status_code=204,
)
async def unpin(by: Administrator, services: InServices, kind: str, name: str, namespace: str = "") -> Response:
    resource = {"kind": kind, "namespace": namespace, "name": name}
    await services.page_settings.unpin(by, resource)
    return Response(status_code=204)


@root_router.get("/config", summary="What the page should know of the server")
async def config() -> Response:
    now_ms = time.time_ns() // 1_000_000
    return json_answer({"serverTime": now_ms, "userAgent": f"ksnap/{__version__}", "version": __version__})


@root_router.get("/systembanner", summary="The operator's words to all users")
@older_router.get("/systembanner", summary="The operator's words to all users (older path)")
async def system_banner(services: InServices) -> Response:
    settings = services.settings
    return json_answer({"message": settings.system_banner, "severity": settings.system_banner_severity})


def _seen(if_match: str) -> int | None:
    """The version that an `If-Match` names."""
    text = if_match.strip()
    if text in {"", "*"}:
        return None
    if not (len(text) < 20 and text.strip('"').isdecimal()):
        raise InvalidInput("If-Match is not an ETag of these settings", details=f"{text[:40]!r}")
    return int(text.strip('"'))


def _with_version(document: Document, shown: Any) -> Response:
    answer = json_answer(shown(document.content))
    answer.headers["ETag"] = f'"{document.version}"'
    return answer
