"""A SockJS client as bare as the protocol's own suite: requests, and answers read piece by piece."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp

LIMIT_S = 30.0
PAUSE_S = 0.05
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def kind(self) -> str:
        """The content type, without its optional spaces."""
        return self.headers.get("Content-Type", "").replace(" ", "")


class Stream:
    """An answer that goes on."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def expect(self, text: str) -> None:
        """The next bytes are these."""
        wanted = text.encode()
        got = await asyncio.wait_for(self.response.content.readexactly(len(wanted)), LIMIT_S)
        assert got == wanted

    async def ends(self) -> None:
        """Nothing comes any more, and it came to its end as it should."""
        assert await asyncio.wait_for(self.response.content.read(), LIMIT_S) == b""

    async def line(self) -> str:
        return (await asyncio.wait_for(self.response.content.readline(), LIMIT_S)).decode()

    def abort(self) -> None:
        self.response.close()


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the server."""

    session: aiohttp.ClientSession
    name: str

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, f"/{self.name}{path}", allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, (await response.read()).decode())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: str | bytes = "", **options: Any) -> Answer:
        data = BytesIO(body.encode() if isinstance(body, str) else body)
        headers = {"Content-Type": "text/plain", **options.pop("headers", {})}
        return await self.ask("POST", path, data=data, headers=headers, **options)

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[Stream]:
        async with self.session.request(method, f"/{self.name}{path}", **options) as response:
            yield Stream(response)

    @asynccontextmanager
    async def streaming(self, path: str, **options: Any) -> AsyncIterator[Stream]:
        """xhr_streaming, past its prelude."""
        async with self.stream("POST", f"{path}/xhr_streaming", **options) as stream:
            await stream.expect("h" * 2048 + "\n")
            yield stream

    @asynccontextmanager
    async def socket(self, path: str = "", **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.session.ws_connect(f"/{self.name}{path}/websocket", **options) as socket:
            yield socket

    async def opened(self) -> str:
        """The path of a new session whose open frame has been received."""
        path = fresh()
        assert (await self.post(f"{path}/xhr")).text == "o\n"
        return path


@dataclass(frozen=True, slots=True)
class Server:
    session: aiohttp.ClientSession

    def __getattr__(self, name: str) -> Service:
        return Service(self.session, name)

    async def state(self) -> dict[str, Any]:
        async with self.session.get("/state") as response:
            return dict(await response.json())

    async def open_sessions(self, name: str) -> int:
        return int((await self.state())["open"][name])

    async def heard(self, word: str, end: str) -> bool:
        """Whether an application of `watched` or `brief` that was told this word was told this end."""
        return any(word in each and each[-1] == end for each in (await self.state())["heard"])


def fresh() -> str:
    """A path of a session that nobody knows."""
    return f"/000/{uuid.uuid4()}"


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not await true():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(PAUSE_S)


async def said(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The next text of a WebSocket."""
    return str(await socket.receive_str(timeout=LIMIT_S))


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str | None]:
    """How a WebSocket ends, if nothing is said before."""
    message = await socket.receive(timeout=LIMIT_S)
    assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, message
    return socket.close_code, message.extra
