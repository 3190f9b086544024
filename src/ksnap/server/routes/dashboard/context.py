"""Who asks on the dashboard's paths, and of which cluster: the dependency `AsCaller` of every route with data.

A login of ksnap acts in the cluster as `ksnap:<user>` by impersonation; any other token is passed on to the API server,
with the impersonation headers that came along (contract dashboard-api, section 2).
"""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.service import caller_of
from ksnap.errors import InvalidInput
from ksnap.identity.principal import Role
from ksnap.kube.caller import Caller
from ksnap.server.access import principal_of, require
from ksnap.server.services import Services, services_of

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_viewer = require(Role.VIEWER)


def caller_in(connection: HTTPConnection) -> Caller:
    """The caller of a request or of a WebSocket's handshake; NotAuthenticated without any token."""
    token = connection.scope["state"].get("passed_on_token")
    if isinstance(token, SecretStr):
        return _with_token(connection, token)
    principal = _viewer.held_against(principal_of(connection))
    if any(name.startswith("impersonate-") for name in connection.headers):
        raise InvalidInput(
            "A login of ksnap cannot impersonate",
            details="the request has Impersonate- headers",
            hint="Use a Kubernetes token that has the right, or leave the headers out",
        )
    return caller_of(principal)


def _with_token(connection: HTTPConnection, token: SecretStr) -> Caller:
    headers = connection.headers
    user = headers.get(USER, "")
    extra = tuple(
        (unquote(name.removeprefix(EXTRA)), value) for name, value in headers.items() if name.startswith(EXTRA)
    )
    groups, uid = tuple(headers.getlist(GROUP)), headers.get(UID, "")
    if not user and (groups or uid or extra):
        raise InvalidInput(
            "Nobody is impersonated", details="Impersonate-Group, -Uid or -Extra need Impersonate-User beside them"
        )
    return Caller(user, groups, uid, extra, token)


async def as_caller(connection: HTTPConnection) -> ClusterAsCaller:
    """The cluster of the path (the default one without a name there), for who asks."""
    services: Services = services_of(connection)
    return await services.dashboard.at(connection.path_params.get("cluster", ""), caller_in(connection))


AsCaller = Annotated[ClusterAsCaller, Depends(as_caller)]
