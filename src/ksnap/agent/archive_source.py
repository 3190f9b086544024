"""Where an archive's bytes come from: a file on the node, with CRIU's images in it or in a folder of their own, or any
stream; fed to a packer in a thread."""

import asyncio
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol, TypeVar

from ksnap.criu.packing import ArchivePacker
from ksnap.errors import CheckpointFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SplitArchive:
    """An archive whose images the runtime engine wrote beside it: read as one that has them."""

    archive: Path
    images: Path


ArchiveSource = Path | SplitArchive | Callable[[], AsyncIterable[bytes]]
"""On this node, or what opens the archive's bytes from their start; it is opened again for a second try."""

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
    if isinstance(source, SplitArchive):
        split = await in_thread(lambda: _Split(source))
        try:
            yield split
        finally:
            split.close()
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


class _Split:
    """The images first: the archive that follows has the end of both."""

    def __init__(self, source: SplitArchive) -> None:
        self._source = source
        try:
            self._images = sorted(source.images.iterdir())
            self.size: int | None = source.archive.stat().st_size + sum(_room(each) for each in self._images)
        except OSError as error:
            raise _unreadable(error) from error
        self._chunks = self._read()

    def close(self) -> None:
        self._chunks.close()

    async def feed(self, packer: ArchivePacker) -> list[bytes] | None:
        return await in_thread(lambda: self._step(packer))

    def _step(self, packer: ArchivePacker) -> list[bytes] | None:
        try:
            chunk = next(self._chunks, None)
        except OSError as error:
            raise _unreadable(error) from error
        return None if chunk is None else packer.feed(chunk)

    def _read(self) -> Generator[bytes | memoryview, None, None]:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        for path in self._images:
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                yield _header(path.name, size)
                left = size
                while left and (count := file.readinto(buffer[: min(left, CHUNK_BYTES)])):
                    left -= count
                    yield buffer[:count]
            # One that shrank meanwhile is filled up by nobody: its tar is cut, and the packer refuses it.
            yield bytes(-size % tarfile.BLOCKSIZE)
        with _opened(self._source.archive) as file:
            while count := file.readinto(buffer):
                yield buffer[:count]


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


def _opened(path: Path) -> FileIO:
    """No link is followed: what lies in the folder is the runtime's, and what it may be is the packer's to say."""
    return FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "r")


def _room(path: Path) -> int:
    size = path.lstat().st_size
    return len(_header(path.name, size)) + size + -size % tarfile.BLOCKSIZE


def _header(name: str, size: int) -> bytes:
    """The same for the same file, so that a second push finds the first one's layer."""
    entry = tarfile.TarInfo(f"checkpoint/{name}")
    entry.size, entry.mode = size, 0o600
    return entry.tobuf(tarfile.PAX_FORMAT)


def _unreadable(error: OSError) -> CheckpointFailed:
    return CheckpointFailed(
        "The checkpoint archive cannot be read on the node",
        details=error.strerror or str(error),
        hint="Check the node's disk, and that the agent's volume shows the kubelet's checkpoints folder",
    )
