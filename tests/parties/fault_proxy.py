"""A reverse proxy in front of a real party that changes one answer and leaves the rest alone.

    async with fault_proxy(registry.url, tls=certificate, upstream_tls=certificate.client_context()) as proxy:
        proxy.add(Fault("PATCH", r"/blobs/uploads/", DropAfter(request_bytes=1 << 20)))
        ... use proxy.host instead of the party's ...
        proxy.requests    # what came by: method, path, headers

Bodies stream through in both directions; the Host header is passed on, so that addresses which the party makes of it
lead through the proxy again.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.parties.certificates import ServerCertificate

_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
_CHUNK = 64 * 1024
# A client that was not let write to the end holds its connection until it hears that the other end is gone.
_NOTICED_S = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer so instead of asking the party. The request's body is read first if `read_body`."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    read_body: bool = True


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer; with `after_request_bytes` stop reading its body there as well."""

    after_request_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the request until `release`, then pass it on as if nothing had been."""


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Close the connection once so many bytes of the request's body were passed on."""

    request_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Pass the whole request on, and the answer so much later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """Pass on so many bytes of the answer's body, then close the connection. One without a body is lost whole."""

    response_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Flip one bit of the answer's body at this offset."""

    offset: int = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """Pass the answer's body on again and again: what the party has, longer than it can have it."""

    times: int


Action = Answer | Hang | Hold | Delay | DropAfter | CutAnswer | Corrupt | Repeat


@dataclass(slots=True)
class Fault:
    """What to do to requests whose method and path match.

    `times` None is for ever; `skip` lets so many through first.
    """

    method: str
    path: str
    action: Action
    times: int | None = 1
    skip: int = 0
    met: int = 0
    """How often it was done."""

    def takes(self, method: str, path: str) -> bool:
        used_up = self.times is not None and self.met >= self.times
        if method != self.method or not re.search(self.path, path) or used_up:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.met += 1
        return True


@dataclass(frozen=True, slots=True)
class SeenRequest:
    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]


class FaultProxy:
    """Made by `fault_proxy`."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self.host = ""
        self.requests: list[SeenRequest] = []
        self.faults: list[Fault] = []
        self._answering: dict[int, web.Request] = {}
        self._upstream = upstream.rstrip("/")
        self._session = session
        self._released = asyncio.Event()

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    @property
    def open(self) -> int:
        """Requests whose answer has not ended, and whose client is still there."""
        return sum(each.transport is not None for each in self._answering.values())

    def release(self) -> None:
        """Let requests that hang end (their connections are closed)."""
        self._released.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._answering[id(request)] = request
        try:
            return await self._handle(request)
        finally:
            del self._answering[id(request)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        self.requests.append(SeenRequest(request.method, path, dict(request.headers)))
        action = next((fault.action for fault in self.faults if fault.takes(request.method, path)), None)
        match action:
            case Answer():
                if action.read_body:
                    await request.read()
                return web.Response(status=action.status, body=action.body, headers=dict(action.headers))
            case Hang(after_request_bytes=None):
                await self._hang(request)
            case Hold():
                await self._released.wait()
            case Hang() | Delay() | DropAfter() | CutAnswer() | Corrupt() | Repeat() | None:
                pass
        return await self._forward(request, action)

    async def _forward(self, request: web.Request, action: Action | None) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        body = self._request_body(request, action) if request.body_exists else None
        try:
            async with self._session.request(
                request.method,
                self._upstream + request.raw_path,
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                return await self._pass_back(request, answer, action)
        except (aiohttp.ClientError, ConnectionError):
            self._close(request)
            raise web.HTTPBadGateway from None

    async def _request_body(self, request: web.Request, action: Action | None) -> AsyncIterator[bytes]:
        passed = 0
        async for chunk in request.content.iter_chunked(_CHUNK):
            passed += len(chunk)
            yield chunk
            match action:
                case Hang(after_request_bytes=int(limit)) if passed >= limit:
                    await self._hang(request)
                case DropAfter(request_bytes=limit) if passed >= limit:
                    self._close(request)
                    raise ConnectionResetError("dropped on purpose")

    async def _pass_back(
        self, request: web.Request, answer: aiohttp.ClientResponse, action: Action | None
    ) -> web.StreamResponse:
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS]
        if isinstance(action, Delay):
            await asyncio.sleep(action.seconds)
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        if isinstance(action, CutAnswer) and answer.headers.get("Content-Length") == "0":
            self._close(request)
            return response
        response.headers.extend(headers)
        if answer.headers.get("Content-Length"):
            response.content_length = int(answer.headers["Content-Length"])
        await response.prepare(request)
        if isinstance(action, Repeat):
            body = await answer.read()
            for _ in range(action.times):
                await response.write(body)
            await response.write_eof()
            return response
        sent = 0
        async for chunk in answer.content.iter_chunked(_CHUNK):
            data = chunk
            if isinstance(action, CutAnswer) and sent + len(data) >= action.response_bytes:
                await response.write(data[: action.response_bytes - sent])
                self._close(request)
                return response
            if isinstance(action, Corrupt) and sent <= action.offset < sent + len(data):
                changed = bytearray(data)
                changed[action.offset - sent] ^= 1
                data = bytes(changed)
            await response.write(data)
            sent += len(data)
        await response.write_eof()
        return response

    async def _hang(self, request: web.Request) -> None:
        await self._released.wait()
        self._close(request)
        raise ConnectionResetError("hung on purpose")

    @staticmethod
    def _close(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()


@asynccontextmanager
async def fault_proxy(
    upstream: str,
    *,
    tls: ServerCertificate | None = None,
    upstream_tls: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
) -> AsyncIterator[FaultProxy]:
    """A proxy on a port of `address`: TLS towards its clients if `tls`, towards the party as `upstream` says."""
    connector = aiohttp.TCPConnector(ssl=upstream_tls if upstream_tls is not None else True)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout) as session:
        proxy = FaultProxy(upstream, session)
        application = web.Application(client_max_size=1 << 40)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, address, 0, ssl_context=tls.server_context() if tls else None)
        try:
            await site.start()
            proxy.host = f"{address}:{runner.addresses[0][1]}"
            yield proxy
        finally:
            proxy.release()
            _cut(runner)
            await runner.cleanup()
            await asyncio.sleep(_NOTICED_S)


def _cut(runner: web.AppRunner) -> None:
    """End every connection at once. A TLS goodbye would go on behind `cleanup`, and longer than the test's loop: a
    client that gave up on a silent proxy waits for ours, up to half a minute, though its session is closed."""
    for connection in runner.server.connections if runner.server is not None else ():
        if connection.transport is not None:
            connection.transport.abort()
