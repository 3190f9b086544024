"""One session while it is bound: the command on one side, the connection on the other, and whichever ends first.

One task reads the connection, one sends to it, one runs the command, one looks at the clock. `run` owns them all, and
none outlives it.
"""

import asyncio
import time
from dataclasses import dataclass, field

from ksnap.dashboard.terminal.closing import CLIENT_GONE, IDLE, POD_DELETED, Closing, protocol_error
from ksnap.dashboard.terminal.command import Command
from ksnap.dashboard.terminal.connection import ConnectionClosed, SockJsConnection
from ksnap.dashboard.terminal.hang_up import hang_up
from ksnap.dashboard.terminal.messages import BadMessage, Bind, Resize, Stdin, parse
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.screen import Screen
from ksnap.dashboard.terminal.typed import Size, Typed

BAD_MESSAGES = 3
"""So many are forgiven."""
WARNING_S = 60.0
"""Before the idle limit."""
# What was shown last is still for a client that is slow to read.
FAREWELL_S = 10.0
CLOSE_S = 2.0
# While a client may not type on, whether it is still there is found out so often.
TOUCH_S = 3.0


@dataclass(slots=True)
class BoundSession:
    """A connection and a place for its shells."""

    connection: SockJsConnection
    place: Place
    shells: tuple[str, ...]
    """None: the container's first process."""
    idle_s: float
    """0: no limit."""
    typed: Typed = field(default_factory=Typed)
    screen: Screen = field(default_factory=Screen)
    command: Command = field(init=False)
    _told: "asyncio.Future[Closing]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _typed_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.command = Command(self.place, self.shells, self.typed, self.screen)

    def end(self, why: Closing) -> None:
        """Somebody else knows that it has ended."""
        if not self._told.done():
            self._told.set_result(why)

    async def run(self) -> Closing:
        """To its end, and with it the command's; the connection is closed then."""
        async with asyncio.TaskGroup() as group:
            command = group.create_task(self.command.run())
            sending = group.create_task(self._send())
            others = [group.create_task(each) for each in (self._receive(), self._until_idle(), self._until_told())]
            done, _ = await asyncio.wait([command, sending, *others], return_when=asyncio.FIRST_COMPLETED)
            if command in done:
                closing = command.result()
                if closing == POD_DELETED:
                    self.screen.notice("The pod was deleted")
                drained = group.create_task(self.screen.drained())
                await asyncio.wait([sending, drained], timeout=FAREWELL_S, return_when=asyncio.FIRST_COMPLETED)
                drained.cancel()
                await self._close(closing)
            else:
                closing = next(each for each in [sending, *others] if each in done).result()
                self.command.stop_trying()
                self.screen.discard()
                leaving = group.create_task(self._close(closing))
                await hang_up(command, self.typed, self.place, self.command)
                leaving.cancel()
            for each in (command, sending, *others):
                each.cancel()
        return closing

    async def _close(self, closing: Closing) -> None:
        if closing != CLIENT_GONE:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self.connection.close(closing.code, closing.reason)
            except (ConnectionClosed, TimeoutError):
                return

    async def _send(self) -> Closing:
        try:
            while True:
                await self.connection.send(await self.screen.next())
        except ConnectionClosed:
            return CLIENT_GONE

    async def _receive(self) -> Closing:
        """The one reader of the connection."""
        forgiven = 0
        while True:
            try:
                self._obey(await self.connection.receive())
                if self.typed.is_full:
                    await self._room()
            except ConnectionClosed:
                return CLIENT_GONE
            except BadMessage as bad:
                forgiven += 1
                if forgiven > BAD_MESSAGES:
                    return protocol_error(str(bad))
                self.screen.notice(f"A message was ignored: {bad}")

    def _obey(self, text: str) -> None:
        match parse(text):
            case Bind():
                raise BadMessage("the session is bound already")
            case Stdin(data):
                self._typed_at = time.monotonic()
                self.typed.add(data)
            case Resize(rows, cols) if rows and cols:
                self.typed.resize(Size(rows, cols))
            case Resize():
                pass  # a window that is not shown has no size

    async def _room(self) -> None:
        while True:
            try:
                async with asyncio.timeout(TOUCH_S):
                    return await self.typed.room()
            except TimeoutError:
                self.screen.touch()

    async def _until_idle(self) -> Closing:
        if not self.idle_s:
            await asyncio.Event().wait()
        warning_s = min(WARNING_S, self.idle_s / 2)
        warned_for = 0.0
        while (left_s := self._typed_at + self.idle_s - time.monotonic()) > 0:
            if left_s <= warning_s and warned_for != self._typed_at:
                warned_for = self._typed_at
                self.screen.notice(f"Nothing was typed for long: the session ends in {round(left_s)} s")
            await asyncio.sleep(left_s if warned_for == self._typed_at else left_s - warning_s)
        return IDLE

    async def _until_told(self) -> Closing:
        return await self._told
