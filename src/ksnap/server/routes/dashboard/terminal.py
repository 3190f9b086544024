"""Terminals (contract dashboard-api, section 9): open one, and speak to it over a plain WebSocket.

Whoever opens gets an id; the connection that binds it needs no token, as the id is the secret. SockJS is served beside,
at /api/sockjs. A plain WebSocket closes with 4000 and the code of the contract, whose own are none of WebSocket's.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket
from pydantic import SecretStr

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.terminal.opening import Asked
from ksnap.dashboard.who import username_of
from ksnap.errors import InvalidInput
from ksnap.identity.principal import Principal, Role
from ksnap.server.answers import json_answer
from ksnap.server.origins import check_origin
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute, bearer_of
from ksnap.server.routes.dashboard.terminal_socket import TerminalSocket
from ksnap.server.routes.snap.names import ContainerName, Namespace, PodName
from ksnap.server.services import InServices

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

_PATH = "/pod/{namespace}/{pod}/shell/{container}"
Shell = Annotated[str, Query(max_length=100, description="bash, sh, powershell or cmd; else they are tried in turn")]
Image = Annotated[str, Query(max_length=500, description="Image of the debug container; empty: the server's setting")]


@router.get(_PATH, summary="Open a terminal in a container")
async def open_shell(
    request: Request,
    services: InServices,
    at: AsCaller,
    *,
    namespace: Namespace,
    pod: PodName,
    container: ContainerName,
    shell: Shell = "",
) -> Response:
    """The id has to be bound within ten seconds."""
    if "debug" in request.query_params:
        raise InvalidInput("A debug container is made by POST", hint="Send the same with POST")
    asked = Asked(namespace, pod, container, shell, await _who(request, at), SecretStr(bearer_of(request)))
    return json_answer({"id": await services.terminals.open_shell(at, asked)})


@router.post(_PATH, summary="Open a terminal in a new debug container beside a container")
async def open_debug_container(
    request: Request,
    services: InServices,
    at: AsCaller,
    *,
    namespace: Namespace,
    pod: PodName,
    container: ContainerName,
    debug: Image = "",
    shell: Shell = "",
) -> Response:
    """For images without a shell: an ephemeral container that shares the processes of the named one. It stays in the
    pod's list after its process has ended, as Kubernetes has no call to remove it."""
    asked = Asked(namespace, pod, container, shell, await _who(request, at), SecretStr(bearer_of(request)))
    return json_answer({"id": await services.terminals.open_debug_container(at, asked, debug)})


@router.websocket("/terminal/{session_id}")
async def terminal(socket: WebSocket, session_id: str, services: InServices) -> None:
    """The same messages as over SockJS, one in each frame."""
    check_origin(socket, services.settings.allowed_origins)
    await socket.accept()
    await services.terminals.sessions.handle(TerminalSocket(socket), session_id)


async def _who(request: Request, at: ClusterAsCaller) -> Principal:
    """For the trail: a login of ksnap, or whom Kubernetes says a token is."""
    state = request.scope["state"]
    if isinstance(principal := state.get("principal"), Principal):
        return principal
    username = f"kubernetes:{await username_of(at)}"
    return Principal(username, Role.VIEWER, address=state["address"], request_id=state["request_id"])
