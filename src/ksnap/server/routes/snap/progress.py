"""`/ws/progress` (contract, section 4), and the same as server-sent events, `/progress/events` (ours).

A connection is a place in the feed and a login; it ends when either does, when its peer goes, or when its peer does
not read. A WebSocket says why by its close code: 1001 the server ends, 1009 a frame that is too long, 1013 too slow,
else 4000 and the error's HTTP status, after the error's envelope as a frame: 4401 for a login that is not valid.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Never

import structlog
from fastapi import APIRouter, Depends, Header, Path, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ksnap.checkpoints.feed import FeedEnded, FeedReader
from ksnap.checkpoints.job_log import Wanted
from ksnap.errors import KsnapError, NotAuthenticated, NotFound, NotPermitted, TooLarge
from ksnap.identity.principal import Principal, Role
from ksnap.server.access import RightFirst, Viewer, principal_of, require
from ksnap.server.documented import responses
from ksnap.server.failures import envelope
from ksnap.server.following import TooSlow, first_end, login_ends, sent_in_time
from ksnap.server.messages import USERNAME_PATTERN
from ksnap.server.middleware.admission import TOKEN_LIMIT, token_of
from ksnap.server.origins import check_origin
from ksnap.server.protocols import cut
from ksnap.server.routes.snap.names import ClusterName, Id, Namespace
from ksnap.server.routes.snap.progress_messages import event_block, frame_text
from ksnap.server.services import InServices, Services

router = APIRouter(tags=["jobs"], route_class=RightFirst)

SUBPROTOCOL = "snap.v1"
FIRST_FRAME_S = 10.0
# An auth frame holds a token; nothing else that a client may say is longer.
FRAME_LIMIT = TOKEN_LIMIT + 1024
# Proxies close what is silent for a minute or half of one.
KEEP_ALIVE_S = 15.0
RETRY_MS = 2000
# Of an error's own frame; then the connection is closed without it.
LAST_FRAME_S = 1.0

_log = structlog.get_logger(__name__)
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
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    try:
        ended = await _followed(socket, services, asked, username)
    except (KsnapError, WebSocketDisconnect) as error:
        ended = error
    match ended:
        case WebSocketDisconnect():
            return
        case KsnapError():
            await _close(socket, ended)
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
                _answer(socket),
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
            said = await _said(socket)
    except TimeoutError:
        raise NotAuthenticated("No token was given", details=f"{FIRST_FRAME_S:.0f} seconds have passed") from None
    token = said.get("token")
    if said.get("type") != "auth" or not isinstance(token, str) or len(token) > TOKEN_LIMIT:
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


async def _answer(socket: WebSocket) -> Never:
    while True:
        if (await _said(socket)).get("type") == "ping":
            await socket.send_json({"type": "pong"})


async def _said(socket: WebSocket) -> dict[str, Any]:
    """The next frame; empty if it is nothing that a client may say."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    frame = message.get("text") or message.get("bytes") or ""
    if len(frame) > FRAME_LIMIT:
        raise TooLarge("The frame is too long", details=f"at most {FRAME_LIMIT} characters are accepted")
    try:
        said = json.loads(frame)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


async def _close(socket: WebSocket, error: KsnapError) -> None:
    code = _close_code(error)
    if isinstance(error, TooSlow):
        _log.info("progress_reader_dropped", path=socket.url.path)
    if code > 4000:
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(LAST_FRAME_S):
                await socket.send_json(envelope(error))
    with suppress(WebSocketDisconnect):
        await socket.close(code, error.message)


def _close_code(error: KsnapError) -> int:
    match error:
        case FeedEnded():
            return 1001
        case TooLarge():
            return 1009
        case TooSlow():
            return 1013
        case _:
            return 4000 + error.status


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
async def events(who: Viewer, services: InServices, reader: Annotated[FeedReader, Depends(_place)]) -> Response:
    return _EventStream(who, services, reader)


class _EventStream(Response):
    """The answer that does not end by itself."""

    media_type = "text/event-stream"

    def __init__(self, who: Principal, services: Services, reader: FeedReader) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._who = who
        self._services = services
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ended = await first_end(
            self._events(send),
            _gone(receive),
            self._services.progress.ends(),
            login_ends(self._services.logins, token_of(scope), self._who),
        )
        match ended:
            case ClientDisconnect():
                return
            case TooSlow():
                _log.info("progress_reader_dropped", username=self._who.username, address=self._who.address)
                await _cut(scope, receive)
                return
            case FeedEnded():
                body = b""
            case KsnapError():
                body = f"event: failure\ndata: {json.dumps(envelope(ended))}\n\n".encode()
            case _:
                raise ended
        try:
            async with asyncio.timeout(LAST_FRAME_S):
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except TimeoutError:
            await _cut(scope, receive)

    async def _events(self, send: Send) -> Never:
        body = f"retry: {RETRY_MS}\nid: {self._reader.cursor}\n\n".encode()
        while True:
            sending = send({"type": "http.response.body", "body": body, "more_body": True})
            await sent_in_time(sending, self._services.settings.progress_patience_s)
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    body = b"".join(event_block(each) for each in await self._reader.next())
            except TimeoutError:
                body = b": nothing new\n\n"


async def _cut(scope: Scope, receive: Receive) -> None:
    """Cut the connection, and stay until the server knows: it would miss the answer's end otherwise."""
    cut(scope)
    with suppress(ClientDisconnect):
        await _gone(receive)


async def _gone(receive: Receive) -> Never:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
