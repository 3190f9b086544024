"""Where an archive's bytes come from: a file on the node, or any stream; fed to a packer in a thread."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol, TypeVar

from ksnap.criu.packing import ArchivePacker
from ksnap.errors import CheckpointFailed

T = TypeVar("T")

ArchiveSource = Path | Callable[[], AsyncIterable[bytes]]
"""A file on this node, or what opens the archive's bytes from their start; it is opened again for a second try."""

# One step in a thread: hashlib and zstandard work on so much without the interpreter's lock, and a step is short
# enough to be waited for when a push is cancelled.
CHUNK_BYTES = 1 << 20


class OpenedSource(Protocol):
    @property
    def size(self) -> int | None:
        """Bytes in all, where that is known."""

    async def feed(self, packer: ArchivePacker) -> list[bytes] | None:
        """Give the packer the next chunk: what it made of it, None at the end."""


@asynccontextmanager
async def open_source(source: ArchiveSource) -> AsyncIterator[OpenedSource]:
    """Open a source from its start."""
    if isinstance(source, Path):
        try:
            file = await in_thread(lambda: FileIO(source, "r"))
        except OSError as error:
            raise _unreadable(error) from error
        try:
            yield _File(file)
        finally:
            file.close()
        return
    stream = _chunked(source())
    async with aclosing(stream):
        yield _Stream(stream)


async def in_thread(call: Callable[[], T]) -> T:
    """Run a short step in a thread. Cancelled, it waits for the step's end: nothing is closed under it."""
    step = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


class _File:
    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
        self.size: int | None = os.fstat(file.fileno()).st_size

    async def feed(self, packer: ArchivePacker) -> list[bytes] | None:
        return await in_thread(lambda: self._step(packer))

    def _step(self, packer: ArchivePacker) -> list[bytes] | None:
        try:
            count = self._file.readinto(self._buffer)
        except OSError as error:
            raise _unreadable(error) from error
        return packer.feed(self._buffer[:count]) if count else None


class _Stream:
    size: int | None = None

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def feed(self, packer: ArchivePacker) -> list[bytes] | None:
        chunk = await anext(self._chunks, None)
        return None if chunk is None else await in_thread(lambda: packer.feed(chunk))


async def _chunked(stream: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Small chunks joined, so that a thread is not called for every few kilobytes."""
    joined = bytearray()
    async for chunk in stream:
        joined += chunk
        if len(joined) >= CHUNK_BYTES:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)


def _unreadable(error: OSError) -> CheckpointFailed:
    return CheckpointFailed(
        "The checkpoint archive cannot be read on the node",
        details=error.strerror or str(error),
        hint="Check the node's disk, and that the agent's volume shows the kubelet's checkpoints folder",
    )
