"""One session from its opening to its end, with its lines in the trail. Run by one task, its owner."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ksnap.dashboard.terminal.closing import CRASHED, EXPIRED, Closing
from ksnap.dashboard.terminal.connection import SockJsConnection
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.session import BoundSession
from ksnap.dashboard.terminal.settings import TerminalSettings
from ksnap.dashboard.terminal.trail import Trail


@dataclass(slots=True, eq=False)
class Opened:
    """Pending until it is bound."""

    place: Place
    shells: tuple[str, ...]
    """None: the container's first process."""
    token_digest: str
    """Of the token that opened it."""
    trail: Trail
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Its connection was closed, if there was one."""
    _connection: "asyncio.Future[SockJsConnection]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _bound: BoundSession | None = None
    _told: Closing | None = None

    def bind(self, connection: SockJsConnection) -> None:
        """Once."""
        self._connection.set_result(connection)

    def end(self, why: Closing) -> None:
        """Somebody else knows that it has to end, or has ended."""
        self._told = why
        if self._bound is not None:
            self._bound.end(why)

    async def run(self, settings: TerminalSettings, forget: Callable[[], object]) -> None:
        """To its end, and the end of what it ran. `forget` makes its id worth nothing."""
        began, closing = time.monotonic(), CRASHED
        try:
            closing = await self._run(settings, forget)
        finally:
            self.over.set()
            bound = self._bound
            await self.trail.closed(
                closing.outcome,
                shell=bound.command.shell if bound is not None else "",
                seconds=time.monotonic() - began,
                typed=bound.typed.taken_bytes if bound is not None else 0,
                shown=bound.screen.shown_bytes if bound is not None else 0,
            )

    async def _run(self, settings: TerminalSettings, forget: Callable[[], object]) -> Closing:
        # Not `timeout`: that could take a connection away in the very step in which it came.
        await asyncio.wait([self._connection], timeout=settings.bind_s)
        if not self._connection.done():
            forget()
            return self._told or EXPIRED
        connection = self._connection.result()
        self._bound = BoundSession(connection, self.place, self.shells, settings.idle_s)
        if self._told is not None:
            self._bound.end(self._told)
        await self.trail.bound(connection.address)
        return await self._bound.run()
