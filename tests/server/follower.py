"""Somebody who follows progress over a WebSocket."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

LIMIT_S = 50.0


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended, and the last frame before."""

    code: int | None
    reason: str | None
    frames: list[dict[str, Any]]

    @property
    def error_code(self) -> str:
        return str(self.frames[-1]["code"])


@dataclass(frozen=True, slots=True)
class Follower:
    socket: aiohttp.ClientWebSocketResponse

    async def frame(self) -> dict[str, Any]:
        return dict(await self.socket.receive_json(timeout=LIMIT_S))

    async def ready(self) -> int:
        """Wait until the server has given a place; the id behind which it is."""
        frame = await self.frame()
        assert frame["type"] == "ready", frame
        return int(frame["id"])

    async def steps(self, count: int) -> list[dict[str, Any]]:
        """The next frames, all of which are of progress."""
        frames = [await self.frame() for _ in range(count)]
        assert all(each["type"] == "progress" for each in frames), frames
        return frames

    async def messages(self, count: int) -> list[str]:
        return [each["message"] for each in await self.steps(count)]

    async def closed(self) -> Closed:
        """Read to the end."""
        frames: list[dict[str, Any]] = []
        while True:
            message = await self.socket.receive(timeout=LIMIT_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, message
                return Closed(self.socket.close_code, message.extra, frames)
            frames.append(json.loads(message.data))


@asynccontextmanager
async def follower(
    url: str,
    token: str = "",
    *,
    path: str = "/ws/progress",
    query: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    connector: aiohttp.BaseConnector | None = None,
) -> AsyncIterator[Follower]:
    """A connection; with a token it has it in its header."""
    sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    async with (
        aiohttp.ClientSession(url, connector=connector) as session,
        session.ws_connect(path, params=query or {}, headers=sent, protocols=protocols) as socket,
    ):
        yield Follower(socket)
