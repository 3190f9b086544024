"""One process with a terminal: what is typed goes to it, what it shows comes back, until it ends.

It has started for sure with its first output. Until then, or for a moment where it says nothing, it is given no keys:
if it turns out that there is no such program, they are for the next one.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from ksnap.dashboard.terminal.process_table import Moment
from ksnap.dashboard.terminal.screen import Screen
from ksnap.dashboard.terminal.typed import Size, Typed
from ksnap.errors import KsnapError
from ksnap.kube.exec import LINGER_S, ExecStream
from ksnap.kube.exec_frames import STATUS_LIMIT, Channel, Data, Ending, Tail, data_message, parse_status

# A missing program is told within a twentieth of this; a shell without a prompt gets its first keys so late.
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process did."""

    ending: Ending | None
    """None: the cluster did not say, the connection broke."""
    stdin_delivered: bool


class Attempt:
    """Run once."""

    def __init__(
        self, typed: Typed, screen: Screen, started: Callable[[], None], *, settle_s: float = SETTLE_S
    ) -> None:
        self._typed = typed
        self._screen = screen
        self._tell_started = started
        self._settle_s = settle_s
        self._asked_at = 0.0
        self._started_at = 0.0

    @property
    def began(self) -> Moment:
        """When its process began, by our monotonic clock."""
        return Moment(self._asked_at, self._started_at)

    @property
    def is_running(self) -> bool:
        return self._started_at > 0

    async def run(self, opening: AbstractAsyncContextManager[ExecStream]) -> Ended:
        """To its end; the connection's own errors come out."""
        self._typed.begin()
        self._asked_at = time.monotonic()
        async with opening as stream, asyncio.TaskGroup() as group:
            beside = [group.create_task(self._write(stream)), group.create_task(self._settle())]
            ending = await self._read(stream)
            for each in beside:
                each.cancel()
        self._screen.end_of_output()
        return Ended(ending, self._typed.delivered)

    async def _read(self, stream: ExecStream) -> Ending | None:
        """Until the connection ends; soon after the Status if it does not."""
        status, ending = Tail(STATUS_LIMIT), None
        try:
            async with asyncio.timeout(None) as lingering:
                async for message in stream.messages():
                    match message:
                        case Data(Channel.STDOUT, data) if data:
                            self._started(for_sure=True)
                            await self._screen.add(data)
                        case Data(Channel.ERROR, data) if data:
                            status.add(data)
                            if (ending := parse_status(bytes(status))) is not None:
                                lingering.reschedule(asyncio.get_running_loop().time() + LINGER_S)
                        case _:
                            pass
        except TimeoutError:
            pass
        return ending

    async def _write(self, stream: ExecStream) -> None:
        try:
            while True:
                taken = await self._typed.take()
                if isinstance(taken, Size):
                    await stream.send(data_message(Channel.RESIZE, _size(taken)))
                else:
                    await stream.send(data_message(Channel.STDIN, taken))
        except KsnapError:
            return  # the reader learns why

    async def _settle(self) -> None:
        await asyncio.sleep(self._settle_s)
        self._started(for_sure=False)

    def _started(self, *, for_sure: bool) -> None:
        if not self.is_running:
            self._started_at = time.monotonic()
            self._typed.release()
            self._tell_started()
        if for_sure:
            self._typed.confirm()


def _size(size: Size) -> bytes:
    """As k8s.io/client-go/tools/remotecommand writes a TerminalSize."""
    return json.dumps({"Width": size.cols, "Height": size.rows}, separators=(",", ":")).encode()
