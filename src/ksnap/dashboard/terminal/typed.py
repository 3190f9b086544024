"""What the client has typed and its window's size, until a process takes them.

There is one for a connection, however many shells are tried: what a process that never started was given goes to the
next one, and each gets the last size first.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

# Typing waits here while a process does not read; a client that goes on is not read, either.
LIMIT = 256 * 1024
# What one message to the cluster carries.
PIECE = 32 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    cols: int


class Typed:
    """Filled by the connection's one reader, emptied by one process after the other."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unconfirmed: list[bytes] = []
        self._confirmed = True
        self._held = True
        self._size: Size | None = None
        self._size_taken: Size | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.taken_bytes = 0
        """In all, by processes that started."""

    # The connection's side

    def add(self, data: bytes) -> None:
        self._waiting.extend(data[at : at + PIECE] for at in range(0, len(data), PIECE))
        self._waiting_bytes += len(data)
        self._look()

    def resize(self, size: Size) -> None:
        self._size = size
        self._look()

    @property
    def is_full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        """Until there is room for more."""
        await self._room.wait()

    # The process's side

    def begin(self) -> None:
        """For a new process: what the former, which did not start, was given is given again. Held until `release`."""
        self._waiting.extendleft(reversed(self._unconfirmed))
        self._waiting_bytes += sum(map(len, self._unconfirmed))
        self._unconfirmed = []
        self._confirmed = False
        self._held = True
        self._size_taken = None
        self._look()

    def release(self) -> None:
        """The process seems to have started: it may have what was typed."""
        self._held = False
        self._look()

    def confirm(self) -> None:
        """The process has started for sure."""
        self._confirmed = True
        self.taken_bytes += sum(map(len, self._unconfirmed))
        self._unconfirmed = []

    @property
    def delivered(self) -> bool:
        """Whether the process was given anything."""
        return (self._confirmed and self.taken_bytes > 0) or bool(self._unconfirmed)

    async def take(self) -> Size | bytes:
        """What the process gets next."""
        while True:
            if self._size is not None and self._size != self._size_taken:
                self._size_taken = self._size
                return self._size
            if self._waiting and not self._held:
                return self._take_piece()
            self._changed.clear()
            await self._changed.wait()

    def _take_piece(self) -> bytes:
        piece = self._waiting.popleft()
        while self._waiting and len(piece) + len(self._waiting[0]) <= PIECE:
            piece += self._waiting.popleft()
        self._waiting_bytes -= len(piece)
        if self._confirmed:
            self.taken_bytes += len(piece)
        else:
            self._unconfirmed.append(piece)
        self._look()
        return piece

    def _look(self) -> None:
        self._changed.set()
        if self._waiting_bytes < LIMIT:
            self._room.set()
        else:
            self._room.clear()
