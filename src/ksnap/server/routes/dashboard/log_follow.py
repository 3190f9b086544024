"""Logs as they are written, `/log/follow/{namespace}/{pod}/{container}` (ours): server-sent events, or a WebSocket.

Each event is of one container: new lines with the place behind them (`id`), that it waits to start, that it has ended.
A browser comes back with the last id by itself; others give it as `after`. It ends with the last container's log, when
the caller's login or right ends, when they go, or do not read; a WebSocket says why by its close code (`sockets`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Never

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response, WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection

from ksnap.checkpoints.feed import FeedEnded
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.logs.following import AllEnded, FollowedLogs, FollowQuery, follow_logs, follow_query
from ksnap.dashboard.logs.places import LONGEST
from ksnap.dashboard.statuses import err_status
from ksnap.errors import KsnapError
from ksnap.identity.principal import Principal
from ksnap.server.event_stream import EventStream, block
from ksnap.server.following import first_end, login_ends, right_ends, sent_in_time
from ksnap.server.middleware.admission import token_of
from ksnap.server.origins import check_origin
from ksnap.server.routes.dashboard.container_path import ContainerPath, InContainer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import EventRoute
from ksnap.server.services import InServices, Services
from ksnap.server.sockets import accept, answer_pings, close_for

PATH = "/log/follow/{namespace}/{pod}/{container}"
Text = Annotated[str | None, Query(max_length=200)]
Place = Annotated[str | None, Query(max_length=LONGEST, description="The id of the last event that was seen")]


router = APIRouter(tags=["dashboard"], route_class=EventRoute)


class FollowParameters:
    """Of a follower."""

    def __init__(
        self,
        *,
        containers: Annotated[
            str | None, Query(max_length=2000, description="More of the pod's containers, by commas; `*`: all of them")
        ] = None,
        previous: Annotated[Text, Query(description="`true`: of the instance before")] = None,
        tail_lines: Annotated[Text, Query(alias="tailLines", description="Begin so many lines before the end")] = None,
        since_time: Annotated[Text, Query(alias="sinceTime", description="Begin at this time (RFC 3339)")] = None,
        after: Place = None,
        last_event_id: Annotated[
            str | None, Header(max_length=LONGEST, description="As browsers send it; wins over `after`")
        ] = None,
    ) -> None:
        given = {
            "containers": containers,
            "previous": previous,
            "tailLines": tail_lines,
            "sinceTime": since_time,
            "after": after,
        }
        self.query: FollowQuery = follow_query(
            {name: text for name, text in given.items() if text is not None}, after=last_event_id or ""
        )


AsAsked = Annotated[FollowParameters, Depends()]


@asynccontextmanager
async def _followed(
    services: Services, at: ClusterAsCaller, of: ContainerPath, query: FollowQuery
) -> AsyncIterator[FollowedLogs]:
    with services.log_connections.one_of(at.caller.key, shown=at.caller.user):
        async with follow_logs(at, of.namespace, of.pod, of.container, query) as followed:
            yield followed


def _ends(
    connection: HTTPConnection, services: Services, at: ClusterAsCaller, of: ContainerPath
) -> Sequence[Coroutine[Any, Any, Never]]:
    """What ends a follower from outside: the server, its login, its right."""

    async def require() -> None:
        await at.reviews.require("get", "pods", namespace=of.namespace, name=of.pod, subresource="log")

    ends: list[Coroutine[Any, Any, Never]] = [services.progress.ends(), right_ends(require)]
    principal = connection.scope["state"].get("principal")
    if isinstance(principal, Principal):
        ends.append(login_ends(services.logins, token_of(connection.scope), principal))
    return ends


# Server-sent events


async def _reading(services: InServices, at: AsCaller, of: InContainer, asked: AsAsked) -> AsyncIterator[FollowedLogs]:
    """The logs for as long as the answer is being sent; a refusal is an answer of its own."""
    async with _followed(services, at, of, asked.query) as followed:
        yield followed


@router.get(
    PATH,
    summary="Follow a container's log as server-sent events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow(
    request: Request,
    services: InServices,
    at: AsCaller,
    of: InContainer,
    followed: Annotated[FollowedLogs, Depends(_reading)],
) -> Response:
    return EventStream(
        _Events(followed),
        lambda: _ends(request, services, at, of),
        patience_s=services.settings.progress_patience_s,
    )


class _Events:
    """Followed logs as server-sent events, whose data are the same objects as a WebSocket's frames."""

    beginning = b""

    def __init__(self, followed: FollowedLogs) -> None:
        self._followed = followed

    async def next(self) -> bytes:
        found = await self._followed.next()
        return block(msgspec.json.encode(found), identifier=getattr(found, "id", ""))

    def last(self, ended: Exception) -> bytes | None:
        match ended:
            case FeedEnded():
                return b""
            case AllEnded():
                return block(b"{}", name="end")
            case KsnapError():
                return block(json.dumps(err_status(ended)).encode(), name="failure")
        return None


# WebSocket


@router.websocket(PATH)
async def follow_by_socket(
    socket: WebSocket, services: InServices, at: AsCaller, of: InContainer, asked: AsAsked
) -> None:
    """The same as frames."""
    check_origin(socket, services.settings.allowed_origins)
    await accept(socket)
    try:
        async with _followed(services, at, of, asked.query) as followed:
            ended = await first_end(
                _send(socket, followed, services.settings.progress_patience_s),
                answer_pings(socket),
                *_ends(socket, services, at, of),
            )
    except (KsnapError, WebSocketDisconnect) as error:
        ended = error
    match ended:
        case WebSocketDisconnect():
            return
        case AllEnded():
            await socket.close(1000, "The log has ended")
        case KsnapError():
            await close_for(socket, ended, {"type": "failure", **err_status(ended)})
        case _:
            raise ended


async def _send(socket: WebSocket, followed: FollowedLogs, patience_s: float) -> Never:
    while True:
        frame = msgspec.json.encode(await followed.next()).decode()
        await sent_in_time(socket.send_text(frame), patience_s)
        await asyncio.sleep(0)  # a turn for the others: what goes into the connection's buffer waits for nobody
