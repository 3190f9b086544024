"""Server-sent events as an answer that does not end by itself (WHATWG HTML, section 9.2).

It ends when a part of its work raises why: its login has ended, its peer has gone or does not read, or what it follows
is over, which is told as a last event. Who follows what is the routes' matter.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Never, Protocol

import structlog
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ksnap.server.following import TooSlow, cut_off, first_end, peer_gone, sent_in_time

# Proxies close what is silent for a minute or half of one.
KEEP_ALIVE_S = 15.0
RETRY_MS = 2000
NOTHING_NEW = b": nothing new\n\n"
# Of a last event; then the connection is cut without it.
LAST_EVENT_S = 1.0

_log = structlog.get_logger(__name__)
Works = Callable[[], Sequence[Coroutine[Any, Any, Never]]]


class Events(Protocol):
    """What is sent."""

    @property
    def beginning(self) -> bytes:
        """Sent at once."""

    async def next(self) -> bytes:
        """The next events as blocks, or why there are none any more. May be cancelled at any moment."""

    def last(self, ended: Exception) -> bytes | None:
        """What to say at the end; None if it was not foreseen."""


def block(data: bytes, *, name: str = "", identifier: str = "") -> bytes:
    """One block. `data` has no line breaks, as JSON has none."""
    head = (f"event: {name}\n" if name else "") + (f"id: {identifier}\n" if identifier else "")
    return head.encode() + b"data: " + data + b"\n\n"


class EventStream(Response):
    """Sends events until something ends it. `works` are what ends it beside the events themselves."""

    media_type = "text/event-stream"

    def __init__(self, events: Events, works: Works, *, patience_s: float) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._events = events
        self._works = works
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ended = await first_end(self._send(send), peer_gone(receive), *self._works())
        match ended:
            case ClientDisconnect():
                return
            case TooSlow():
                _log.info("slow_reader_dropped", path=scope["path"][:300], address=scope["state"]["address"])
                await cut_off(scope, receive)
                return
        body = self._events.last(ended)
        if body is None:
            raise ended
        try:
            async with asyncio.timeout(LAST_EVENT_S):
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except TimeoutError:
            await cut_off(scope, receive)

    async def _send(self, send: Send) -> Never:
        body = f"retry: {RETRY_MS}\n".encode() + self._events.beginning + b"\n"
        while True:
            sending = send({"type": "http.response.body", "body": body, "more_body": True})
            await sent_in_time(sending, self._patience_s)
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    body = await self._events.next()
            except TimeoutError:
                body = NOTHING_NEW
