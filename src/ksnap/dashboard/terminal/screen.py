"""What waits to be sent to the client: output, decoded, and notices, in order.

What arrives while the client is being sent something becomes one message, so that a flood of small pieces costs few
messages, and one key's echo waits for nothing.
"""

import asyncio
import codecs
from collections import deque

from ksnap.dashboard.terminal.messages import stdout, toast

# Beside what the connection itself queues (256 KiB). Larger messages are no quicker.
LIMIT = 64 * 1024


class Screen:
    """Filled by the processes, emptied by the connection's one sender."""

    def __init__(self) -> None:
        # Only what is no UTF-8 at all is replaced: a character that is cut by a boundary is whole with the next piece.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._output: deque[str] = deque()
        self._output_length = 0
        self._notices: deque[str] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._nobody_looks = False
        self.shown_bytes = 0

    async def add(self, data: bytes) -> None:
        """Output of a process; waits while too much of it waits."""
        if self._nobody_looks:
            return
        await self._room.wait()
        self.shown_bytes += len(data)
        self._append(self._decoder.decode(data))

    def end_of_output(self) -> None:
        """The process has ended: half a character will not be completed."""
        self._append(self._decoder.decode(b"", final=True))
        self._decoder.reset()

    def notice(self, text: str) -> None:
        """A toast. It may overtake output, never another one."""
        self._notices.append(text)
        self._wake()

    def touch(self) -> None:
        """Have something sent, though there is nothing to say: it is noticed then if nobody is there any more."""
        if not self._output:
            self._output.append("")
            self._wake()

    def discard(self) -> None:
        """Nobody is there any more: processes need not wait."""
        self._nobody_looks = True
        self._output.clear()
        self._room.set()

    async def drained(self) -> None:
        """Until the sender has taken all, and come back from sending it."""
        await self._idle.wait()

    async def next(self) -> str:
        """The next message for the client; whoever asks has sent the former."""
        self._idle.clear()
        while True:
            if self._notices:
                return toast(self._notices.popleft())
            if self._output:
                text = "".join(self._output)
                self._output.clear()
                self._output_length = 0
                self._room.set()
                return stdout(text)
            self._idle.set()
            self._changed.clear()
            await self._changed.wait()

    def _append(self, text: str) -> None:
        if not text or self._nobody_looks:
            return
        self._output.append(text)
        self._output_length += len(text)
        if self._output_length >= LIMIT:
            self._room.clear()
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        self._changed.set()
