"""`/ws/progress` (contract, section 4), and the same as server-sent events, `/progress/events` (ours).

A connection is a place in the feed and a login; it ends when either does, when its peer goes, or when its peer does
not read. A WebSocket says why by its close code: 1001 the server ends, 1009 a frame that is too long, 1013 too slow,
else 4000 and the error's HTTP status, after the error's envelope as a frame: 4401 for a login that is not valid.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Never

from fastapi import APIRouter, Depends, Header, Path, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import Response

from ksnap.checkpoints.feed import FeedEnded, FeedReader
from ksnap.checkpoints.job_log import Wanted
from ksnap.errors import KsnapError, NotAuthenticated, NotFound, NotPermitted
from ksnap.identity.principal import Principal, Role
from ksnap.server.access import RightFirst, Viewer, principal_of, require
from ksnap.server.documented import responses
from ksnap.server.event_stream import EventStream, block
from ksnap.server.failures import envelope
from ksnap.server.following import first_end, login_ends, sent_in_time
from ksnap.server.messages import USERNAME_PATTERN
from ksnap.server.middleware.admission import TOKEN_LIMIT, token_of
from ksnap.server.origins import check_origin
from ksnap.server.routes.snap.names import ClusterName, Id, Namespace
from ksnap.server.routes.snap.progress_messages import event_block, frame_text
from ksnap.server.services import InServices, Services
from ksnap.server.sockets import accept, answer_pings, close_for, said

router = APIRouter(tags=["jobs"], route_class=RightFirst)

FIRST_FRAME_S = 10.0

_viewer = require(Role.VIEWER)

After = Annotated[int | None, Query(ge=0, le=1 << 62, description="Go on after this event; else with what comes next")]


class Asked:
    """The query of a follower."""

    def __init__(
        self,
        job_id: Annotated[Id | None, Query(description="Only of this job")] = None,
        cluster_name: ClusterName | None = None,
        namespace: Namespace | None = None,
        after: After = None,
    ) -> None:
        self.job_id = job_id
        self.cluster_name = cluster_name
        self.namespace = namespace
        self.after = after

    async def of(self, who: Principal, services: Services) -> Wanted:
        """What this one may see of it: administrators all, others what is theirs or nobody's. NotFound for no job."""
        sees_all = who.role is Role.ADMINISTRATOR
        wanted = Wanted(None if sees_all else who.username, self.job_id, self.cluster_name, self.namespace)
        if self.job_id is not None:
            await services.checkpoints.jobs.get(self.job_id)
        return wanted


AsAsked = Annotated[Asked, Depends()]


# WebSocket


@router.websocket("/ws/progress")
async def progress(socket: WebSocket, services: InServices, asked: AsAsked) -> None:
    """Every step of the jobs that the caller may see."""
    await _serve(socket, services, asked)


@router.websocket("/ws/progress/{username}")
async def progress_of(
    socket: WebSocket, username: Annotated[str, Path(pattern=USERNAME_PATTERN)], services: InServices, asked: AsAsked
) -> None:
    """The same; the name must be the caller's own."""
    await _serve(socket, services, asked, username)


async def _serve(socket: WebSocket, services: Services, asked: Asked, username: str | None = None) -> None:
    check_origin(socket, services.settings.allowed_origins)
    await accept(socket)
    try:
        ended = await _followed(socket, services, asked, username)
    except (KsnapError, WebSocketDisconnect) as error:
        ended = error
    match ended:
        case WebSocketDisconnect():
            return
        case KsnapError():
            await close_for(socket, ended, envelope(ended))
        case _:
            raise ended


async def _followed(socket: WebSocket, services: Services, asked: Asked, username: str | None) -> Exception:
    """Why it ended."""
    token, who = await _authenticated(socket, services)
    if username is not None and username != who.username:
        raise NotPermitted("The path names another user", details=f"the token is {who.username}'s")
    wanted = await asked.of(who, services)
    with services.progress_connections.one_of(who.username):
        async with services.progress.reader(wanted, after=asked.after) as reader:
            # Ours: who loses the connection before the first event knows where to go on, too.
            await socket.send_json({"type": "ready", "id": reader.cursor})
            return await first_end(
                _send_events(socket, reader, services.settings.progress_patience_s),
                answer_pings(socket),
                services.progress.ends(),
                login_ends(services.logins, token, who),
            )


async def _authenticated(socket: WebSocket, services: Services) -> tuple[str, Principal]:
    """Who is there, by the handshake or else by the first frame."""
    state = socket.scope["state"]
    if "authentication_error" in state:
        raise state["authentication_error"]
    if state.get("principal") is not None:
        return token_of(socket.scope), _viewer.held_against(principal_of(socket))
    try:
        async with asyncio.timeout(FIRST_FRAME_S):
            first = await said(socket)
    except TimeoutError:
        raise NotAuthenticated("No token was given", details=f"{FIRST_FRAME_S:.0f} seconds have passed") from None
    token = first.get("token")
    if first.get("type") != "auth" or not isinstance(token, str) or len(token) > TOKEN_LIMIT:
        raise NotAuthenticated("No token was given", details='the first frame is not {"type": "auth", "token": "..."}')
    who = await services.logins.authenticate(token, address=state["address"], request_id=state["request_id"])
    state["principal"] = who
    _viewer.held_against(who)
    await socket.send_json({"type": "auth", "success": True})
    return token, who


async def _send_events(socket: WebSocket, reader: FeedReader, patience_s: float) -> Never:
    while True:
        for event in await reader.next():
            await sent_in_time(socket.send_text(frame_text(event)), patience_s)
        await asyncio.sleep(0)  # a turn for the others: what goes into the connection's buffer waits for nobody


# Server-sent events


async def _place(
    who: Viewer,
    services: InServices,
    asked: AsAsked,
    last_event_id: Annotated[int | None, Header(ge=0, le=1 << 62, description="As browsers send it; wins")] = None,
) -> AsyncIterator[FeedReader]:
    """A place in the feed for as long as the answer is being sent."""
    wanted = await asked.of(who, services)
    with services.progress_connections.one_of(who.username):
        async with services.progress.reader(
            wanted, after=asked.after if last_event_id is None else last_event_id
        ) as reader:
            yield reader


@router.get(
    "/progress/events",
    summary="Follow the progress of jobs as server-sent events",
    response_class=Response,
    responses={**responses(NotFound), 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request, who: Viewer, services: InServices, reader: Annotated[FeedReader, Depends(_place)]
) -> Response:
    return EventStream(
        _Events(reader),
        lambda: (services.progress.ends(), login_ends(services.logins, token_of(request.scope), who)),
        patience_s=services.settings.progress_patience_s,
    )


class _Events:
    """A place in the feed as server-sent events."""

    def __init__(self, reader: FeedReader) -> None:
        self._reader = reader

    @property
    def beginning(self) -> bytes:
        return f"id: {self._reader.cursor}\n".encode()

    async def next(self) -> bytes:
        return b"".join(event_block(each) for each in await self._reader.next())

    def last(self, ended: Exception) -> bytes | None:
        match ended:
            case FeedEnded():
                return b""
            case KsnapError():
                return block(json.dumps(envelope(ended)).encode(), name="failure")
        return None
