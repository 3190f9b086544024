"""A session with an event loop around it: the side that an application sees, and the side that transports drive."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ksnap.errors import Unavailable
from ksnap.sockjs.frames import Closed, Frame
from ksnap.sockjs.session import Limits, Session


class SockJsConnection(Protocol):
    """One session, as the application sees it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request that opened it; names are in lower case."""

    @property
    def query(self) -> str:
        """Of the request that opened it."""

    @property
    def address(self) -> str:
        """Of the client that opened it."""

    async def receive(self) -> str:
        """The client's next message; ConnectionClosed once there is none left to come.

        As strings of JavaScript may, it may hold half a surrogate pair.
        """

    async def send(self, message: str) -> None:
        """Send it as soon as the client does not lag behind by too much; ConnectionClosed if it has gone."""

    async def close(self, code: int, reason: str) -> None:
        """End the session: what has been sent still arrives, then the client is told why."""


Handler = Callable[[SockJsConnection], Awaitable[None]]
"""The application. When it returns, its session ends."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The request that opened a session."""

    headers: Mapping[str, str]
    query: str
    address: str


class LiveSession:
    """A `SockJsConnection`, and what transports do with it."""

    def __init__(self, opening: Opening, limits: Limits, forget: Callable[[], None]) -> None:
        self._opening = opening
        self._loop = asyncio.get_running_loop()
        self._session = Session(limits, self._loop.time())
        self._forget = forget
        self._gone = asyncio.Event()
        self._leaving = False
        self._accepting = False
        self._for_client = _Bell()
        self._for_application = _Bell()
        self._timer = self._loop.call_at(self._session.deadline, self._expire)

    @property
    def headers(self) -> Mapping[str, str]:
        return self._opening.headers

    @property
    def query(self) -> str:
        return self._opening.query

    @property
    def address(self) -> str:
        return self._opening.address

    # The application's side

    async def receive(self) -> str:
        while (message := self._session.next_message()) is None:
            await self._for_application.wait()
        self._for_client.ring()
        return message

    async def send(self, message: str) -> None:
        while self._session.outbox_full and self._session.over is None:
            await self._for_application.wait()
        self._session.send(message)
        self._for_client.ring()

    async def close(self, code: int, reason: str) -> None:
        self.finish(Closed(code, reason))

    # The transports' side

    def attach(self) -> Closed | None:
        """Come to receive; a frame if that may not be, and is all there is to say."""
        refused = self._session.attach(self._loop.time())
        if refused is None:
            self._timer.cancel()
        return refused

    async def frame(self) -> Frame:
        """The next frame for the receiver that is attached."""
        while (frame := self._session.take(self._loop.time())) is None:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._session.deadline):
                    await self._for_client.wait()
        self._for_application.ring()
        return frame

    def detach(self) -> None:
        """The receiver has got its last frame: a client that has seen it whole may be back at once."""
        self._session.detach(self._loop.time())
        self._changed()

    def lose(self) -> None:
        """What a receiver was given may not have arrived."""
        self._session.lose(self._loop.time())
        self._changed()

    async def accept(self, messages: list[str]) -> None:
        """Messages of the client, which waits while the application reads too slowly."""
        if self._accepting:
            raise Unavailable("Earlier messages wait to be read", hint="Send one after the other")
        self._accepting = True
        try:
            while self._session.inbox_full and self._session.over is None:
                await self._for_client.wait()
            self._session.accept(messages)
        finally:
            self._accepting = False
        self._for_application.ring()

    # Its keeper's side

    def finish(self, closed: Closed) -> None:
        """End it, if it is not over."""
        self._session.close(closed, self._loop.time())
        self._changed()

    def leave(self, farewell: Closed) -> None:
        """The server ends: nobody will come once more to hear it."""
        self._leaving = True
        self.finish(farewell)

    def drop(self) -> None:
        """Its transport will not come back."""
        self._timer.cancel()
        self._forget()
        self._gone.set()

    async def gone(self) -> None:
        await self._gone.wait()

    def _changed(self) -> None:
        self._for_client.ring()
        self._for_application.ring()
        if self._leaving and self._session.told and not self._session.attached:
            self.drop()
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        self._timer.cancel()
        if not self._session.attached and not self._gone.is_set():
            self._timer = self._loop.call_at(self._session.deadline, self._expire)

    def _expire(self) -> None:
        if self._session.expire(self._loop.time()):
            self._for_application.ring()
            self.drop()
        else:
            self._set_timer()  # loops round: a timer may ring a millisecond early


class _Bell:
    """Wakes all who wait. Whoever wakes looks again at what it waits for."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self) -> None:
        await self._rung.wait()
