"""uvicorn's protocols, for a peer that does not read.

uvicorn waits until the peer has read what came before a close frame, and, once it closes the transport, until the peer
has read all: a peer that reads nothing keeps its connection, and a server that stops. Here a close frame is put behind
what waits, so that a peer which wakes up finds it, and the connection is cut some time later; and an application may
cut the connection of a request itself.

And for a peer that speaks HTTP/1.0, to which uvicorn sends chunks although it cannot know them (RFC 9112, 6.1).
"""

from asyncio import TimerHandle

from starlette.datastructures import Headers
from starlette.types import Scope
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from uvicorn._types import Scope as AnyScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# From our close frame to the cut: one who wakes up reads what waits, megabytes at times, and then why it is over.
CLOSE_WITHIN_S = 30.0
# When the server stops: for what waits in the buffers, no more.
LAST_WORDS_S = 1.0


CUT = "ksnap.cut"
"""An extension of the ASGI scope (ASGI 3, extensions)."""


class HttpProtocol(HttpToolsProtocol):
    """Lets an application cut a connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"abort": self.transport.abort}}

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        old = cycle.scope["http_version"] == "1.0"
        super()._start_asgi_task(cycle, _without_chunks(app, cycle) if old else app)


def _without_chunks(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """An answer of unknown length ends with its connection."""

    async def unchunked(scope: AnyScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def sending(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                if "content-length" not in Headers(raw=list(message.get("headers", []))):
                    cycle.chunked_encoding = False
            elif message["type"] == "http.response.body" and cycle.expected_content_length == 0:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, sending)

    return unchunked


def cut(scope: Scope) -> None:
    """End a request's connection at once; what waits to be read is lost."""
    scope["extensions"][CUT]["abort"]()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Ends every connection in a bounded time."""

    async def send(self, message: ASGISendEvent) -> None:
        closes = message["type"] == "websocket.close"
        if closes:
            self.close_timeout = CLOSE_WITHIN_S
            self.writable.set()
        await super().send(message)
        if closes:
            self._cut_in(self.close_timeout)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut_in(self.close_timeout)

    def shutdown(self) -> None:
        super().shutdown()
        self._cut_in(LAST_WORDS_S)

    def _cut_in(self, seconds: float) -> TimerHandle:
        return self.loop.call_later(seconds, self.transport.abort)
