"""Somebody who follows a list, and does with what is told what the guide says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.cluster.dashboard.client import Dashboard

LIMIT_S = 30.0
LINE_BYTES = 1 << 24
Row = dict[str, Any]


@dataclass(slots=True)
class Page:
    """The list as its reader has it."""

    items: str
    """The key of its rows."""
    body: Row = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    id: str = ""
    frames: list[Row] = field(default_factory=list)

    def take(self, frame: Row) -> None:
        self.frames.append(frame)
        self.id = frame["id"]
        if frame["type"] == "list":
            self.body = {name: value for name, value in frame["list"].items() if name != self.items}
            self.rows = frame["list"][self.items]
        elif frame["type"] == "changes":
            changes = frame.pop("changes", [])
            self.body |= {name: value for name, value in frame.items() if name not in {"type", "id"}}
            frame["changes"] = changes
            self._apply(changes)

    def _apply(self, changes: list[Row]) -> None:
        moved = {_uid(each["object"]) for each in changes if each["type"] != "added"}
        self.rows = [row for row in self.rows if _uid(row) not in moved]
        for each in changes:
            if each["type"] != "deleted":
                self.rows.insert(each["index"], each["object"])

    @property
    def names(self) -> list[str]:
        return [row["objectMeta"]["name"] for row in self.rows]


def _uid(row: Row) -> str:
    return str(row["objectMeta"]["uid"])


@dataclass(slots=True)
class Reader:
    """A page, and where it comes from."""

    page: Page
    _source: aiohttp.ClientResponse | aiohttp.ClientWebSocketResponse

    async def until(self, holds: Callable[[Page], bool], limit_s: float = LIMIT_S) -> Page:
        """Read on until it holds."""
        deadline = time.monotonic() + limit_s
        while not holds(self.page):
            left_s = deadline - time.monotonic()
            assert left_s > 0, self.page
            name, frame = await asyncio.wait_for(self.next(), left_s)
            assert name == "message", (name, frame)
            self.page.take(frame)
        return self.page

    async def begun(self) -> Page:
        return await self.until(lambda page: bool(page.frames))

    async def next(self) -> tuple[str, Any]:
        """The next event's name and its data; ("", close code) at the end."""
        if isinstance(self._source, aiohttp.ClientWebSocketResponse):
            message = await self._source.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return "", self._source.close_code
            frame = json.loads(message.data)
            return ("failure" if frame["type"] == "failure" else "message"), frame
        return await self._event(self._source)

    async def _event(self, response: aiohttp.ClientResponse) -> tuple[str, Any]:
        name, data = "message", ""
        while line := (await response.content.readline()).decode().rstrip("\n"):
            key, _, value = line.partition(": ")
            name, data = (value if key == "event" else name), (value if key == "data" else data)
        if data:
            return name, json.loads(data)
        return ("", None) if response.content.at_eof() else await self._event(response)


@asynccontextmanager
async def reading(
    dashboard: Dashboard, path: str, items: str, *, last_id: str = "", **query: str | int
) -> AsyncIterator[Reader]:
    """By server-sent events."""
    headers = {**dashboard.headers, "Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    url = f"{dashboard.url}{dashboard.prefix}/live/{path}"
    timeout = aiohttp.ClientTimeout(total=None)
    async with dashboard.session.get(
        url, params=query, headers=headers, timeout=timeout, read_bufsize=LINE_BYTES
    ) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Reader(Page(items), response)


@asynccontextmanager
async def socket_reading(dashboard: Dashboard, path: str, items: str, **query: str | int) -> AsyncIterator[Reader]:
    """By a WebSocket."""
    url = f"{dashboard.url}{dashboard.prefix}/live/{path}"
    async with dashboard.session.ws_connect(
        url, params=query, headers=dashboard.headers, max_msg_size=LINE_BYTES
    ) as opened:
        yield Reader(Page(items), opened)
