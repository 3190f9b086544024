"""Lists that stay up to date, `/live/{kind}` and `/live/{kind}/{namespace}` (ours; docs/guides/dashboard-live.md):
server-sent events, or a WebSocket on the same path.

The list first, as a GET answers it for the same parameters, then what changes of it. It ends when the caller's login or
right does, when they go, or do not read; a WebSocket says why by its close code (`sockets`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Never

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection

from ksnap.checkpoints.feed import FeedEnded
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.live.follower import Follower, follow
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.query import parse
from ksnap.dashboard.statuses import err_status
from ksnap.errors import KsnapError, NotFound
from ksnap.identity.principal import Principal
from ksnap.server.event_stream import EventStream, block
from ksnap.server.following import first_end, login_ends, sent_in_time
from ksnap.server.middleware.admission import token_of
from ksnap.server.origins import check_origin
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.lists import LISTED, SELECTION
from ksnap.server.routes.dashboard.route import EventRoute
from ksnap.server.services import InServices, Services
from ksnap.server.sockets import accept, answer_pings, close_for

ALL, SOME = "/live/{kind}", "/live/{kind}/{namespace}"
LONGEST_ID = 64


router = APIRouter(tags=["dashboard"], route_class=EventRoute)


class Asked:
    """What a follower asks for."""

    def __init__(
        self,
        connection: HTTPConnection,
        *,
        kind: Annotated[str, Path(max_length=63, description="As in the list's path: pod, deployment, ...")],
        after: Annotated[
            str, Query(max_length=LONGEST_ID, description="The last id that was seen: no list if it is the same still")
        ] = "",
        last_event_id: Annotated[
            str | None, Header(max_length=LONGEST_ID, description="As browsers send it; wins over `after`")
        ] = None,
    ) -> None:
        self.kind = kind
        self.namespaces: str = connection.path_params.get("namespace", "")
        self.query = connection.query_params.multi_items()
        self.after = last_event_id or after

    def listed(self) -> Kind[Any]:
        found = LISTED.get(self.kind)
        if found is None or (self.namespaces.strip() and not found.resource.namespaced):
            where = " in namespaces" if found is not None else ""
            raise NotFound(
                "There is no such list",
                details=f"{self.kind}{where}",
                hint=f"There are {', '.join(sorted(LISTED))}",
            )
        return found


AsAsked = Annotated[Asked, Depends()]


@asynccontextmanager
async def _followed(services: Services, at: ClusterAsCaller, asked: Asked) -> AsyncIterator[Follower[Any]]:
    kind = asked.listed()
    selection = parse(asked.query, kind.selectable)
    with services.live_connections.one_of(at.caller.key, shown=at.caller.user):
        async with follow(
            services.lists,
            kind,
            at,
            selection,
            namespaces=asked.namespaces,
            after=asked.after,
            pace=services.live_pace,
        ) as follower:
            yield follower


def _ends(connection: HTTPConnection, services: Services) -> Sequence[Coroutine[Any, Any, Never]]:
    """What ends a follower from outside: the server and its login. Its right is the follower's own matter."""
    ends: list[Coroutine[Any, Any, Never]] = [services.progress.ends()]
    principal = connection.scope["state"].get("principal")
    if isinstance(principal, Principal):
        ends.append(login_ends(services.logins, token_of(connection.scope), principal))
    return ends


# Server-sent events


async def _reading(services: InServices, at: AsCaller, asked: AsAsked) -> AsyncIterator[Follower[Any]]:
    """The follower for as long as the answer is being sent; a refusal is an answer of its own."""
    async with _followed(services, at, asked) as follower:
        yield follower


Followed = Annotated[Follower[Any], Depends(_reading)]
_DOCUMENTED: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    "openapi_extra": SELECTION,
}


@router.get(ALL, summary="Follow a list as server-sent events", **_DOCUMENTED)
async def follow_all(request: Request, services: InServices, at: AsCaller, follower: Followed) -> Response:
    return _stream(request, services, follower)


@router.get(SOME, summary="Follow a list of some namespaces as server-sent events", **_DOCUMENTED)
async def follow_some(
    request: Request,
    services: InServices,
    at: AsCaller,
    namespace: Annotated[str, Path(description="One, or some between commas")],
    follower: Followed,
) -> Response:
    return _stream(request, services, follower)


def _stream(request: Request, services: Services, follower: Follower[Any]) -> Response:
    patience_s = services.settings.progress_patience_s
    return EventStream(_Events(follower), lambda: _ends(request, services), patience_s=patience_s)


class _Events:
    """Frames as server-sent events."""

    beginning = b""

    def __init__(self, follower: Follower[Any]) -> None:
        self._follower = follower

    async def next(self) -> bytes:
        frame = await self._follower.next()
        return block(frame.content, identifier=frame.id)

    def last(self, ended: Exception) -> bytes | None:
        match ended:
            case FeedEnded():
                return b""
            case KsnapError():
                return block(json.dumps(err_status(ended)).encode(), name="failure")
        return None


# WebSocket


@router.websocket(ALL)
async def follow_all_by_socket(socket: WebSocket, services: InServices, at: AsCaller, asked: AsAsked) -> None:
    """The same as frames."""
    await _serve(socket, services, at, asked)


@router.websocket(SOME)
async def follow_some_by_socket(
    socket: WebSocket, services: InServices, at: AsCaller, namespace: str, asked: AsAsked
) -> None:
    await _serve(socket, services, at, asked)


async def _serve(socket: WebSocket, services: Services, at: ClusterAsCaller, asked: Asked) -> None:
    check_origin(socket, services.settings.allowed_origins)
    await accept(socket)
    try:
        async with _followed(services, at, asked) as follower:
            ended = await first_end(
                _send(socket, follower, services.settings.progress_patience_s),
                answer_pings(socket),
                *_ends(socket, services),
            )
    except (KsnapError, WebSocketDisconnect) as error:
        ended = error
    match ended:
        case WebSocketDisconnect():
            return
        case KsnapError():
            await close_for(socket, ended, {"type": "failure", **err_status(ended)})
        case _:
            raise ended


async def _send(socket: WebSocket, follower: Follower[Any], patience_s: float) -> Never:
    while True:
        frame = await follower.next()
        await sent_in_time(socket.send_text(frame.content.decode()), patience_s)
        await asyncio.sleep(0)  # a turn for the others: what goes into the connection's buffer waits for nobody
