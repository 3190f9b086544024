"""Blobs: archives that no registry holds, in a folder or an object store (obstore).

A blob appears under its name when it is complete and never before: obstore writes a folder's file beside it and
renames, and object stores finish a multipart upload. Names are made by us, from checked parts; `check_name` refuses
what could leave the store.

A kill in the middle of a put leaves what was staged for its name. In a folder that is a file which obstore neither
lists nor deletes, so we do, before a put is repeated and with every deletion. A bucket keeps the parts of an upload
that obstore cannot name any more: only the bucket's own lifecycle rule ends those.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from ksnap.errors import InsufficientStorage, InvalidInput, KsnapError, NotFound, Unavailable

if TYPE_CHECKING:
    from obstore import GetOptions  # a stub's name: not there at run time

CHUNK_BYTES = 256 << 10
# Parts in flight: bounds the memory of one upload to PART_BYTES times this, and still hides a bucket's latency.
PART_BYTES = 8 << 20
PARTS_IN_FLIGHT = 3
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One stored blob."""

    name: str
    size_bytes: int
    modified_at: datetime


class Blobs:
    """The blob store of one installation."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store a stream and return its size. If `chunks` raises, its error comes out and nothing is stored."""
        counted = _Counted(chunks)
        try:
            await self._discard_staged(check_name(name))
            await obstore.put_async(
                self._store, name, counted.stream(), chunk_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT
            )
        except (BaseError, OSError, KsnapError) as error:
            if counted.error is not None:
                raise counted.error from None
            raise _converted(error, name) from error
        return counted.size_bytes

    async def get(self, name: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The blob's bytes from `offset` on, in chunks of `CHUNK_BYTES` or more; NotFound before the first one."""
        try:
            result = await obstore.get_async(self._store, check_name(name), options=_range(offset, length))
            async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise _converted(error, name) from error

    async def info(self, name: str) -> BlobInfo:
        """Size and time of one blob, or NotFound."""
        try:
            meta = await obstore.head_async(self._store, check_name(name))
        except (BaseError, OSError) as error:
            raise _converted(error, name) from error
        return BlobInfo(meta["path"], meta["size"], meta["last_modified"])

    async def delete(self, name: str) -> None:
        """Remove a blob and what a killed put had staged for it; what is not there is as good as removed."""
        try:
            await self._discard_staged(check_name(name))
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise _converted(error, name) from error

    async def _discard_staged(self, name: str) -> None:
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            await asyncio.to_thread(_remove_staged, Path(self._store.prefix) / name)

    async def check(self) -> None:
        """Unavailable unless the store answers; a folder must be there, for one that is not lists as an empty one."""
        try:
            if isinstance(self._store, LocalStore):
                await asyncio.to_thread(os.listdir, self._store.prefix)
            else:
                await obstore.list_with_delimiter_async(self._store, "a-name-that-is-never-used")
        except (BaseError, OSError) as error:
            raise Unavailable("The blob store does not answer", details=_first_line(error)) from error

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """All blobs below a folder of the store (whole path segments), in no order."""
        try:
            async for batch in obstore.list(self._store, prefix or None):
                for meta in batch:
                    yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])
        except (BaseError, OSError) as error:
            raise _converted(error, prefix) from error


def open_blobs(url: str) -> Blobs:
    """The store of a URL; a folder is made if it is not there. Blocking."""
    try:
        if url.startswith("file://"):
            folder = Path(url.removeprefix("file://"))
            return Blobs(LocalStore(folder, mkdir=True))
        return Blobs(from_url(url))
    except (BaseError, OSError, ValueError) as error:
        raise InvalidInput("The blob store's URL cannot be used", details=_first_line(error)) from error


def check_name(name: str) -> str:
    """A blob's name, or InvalidInput: plain segments, none of which begins with a dot."""
    if not _NAME.match(name) or len(name) > 600:
        raise InvalidInput("Not a blob's name", details=repr(name[:200]))
    return name


class _Counted:
    """Counts what passes, and keeps the source's own error, which obstore would wrap into text."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self.size_bytes = 0
        self.error: BaseException | None = None

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                self.size_bytes += len(chunk)
                yield chunk
        except GeneratorExit:
            # The store has failed and wants no more: not the source's doing.
            raise
        except BaseException as error:
            self.error = error
            raise


def _remove_staged(path: Path) -> None:
    """`NAME#1`, `NAME#2`, ...: as LocalStore calls a file that it has not renamed yet."""
    for staged in path.parent.glob(f"{path.name}#*"):
        staged.unlink(missing_ok=True)


def _range(offset: int, length: int | None) -> "GetOptions":
    if length is not None:
        return {"range": (offset, offset + length)}
    return {"range": {"offset": offset}} if offset else {}


def _converted(error: Exception, name: str) -> KsnapError:
    text = _first_line(error)
    if isinstance(error, FileNotFoundError):
        return NotFound("No such blob", details=name)
    if "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
        return InsufficientStorage(
            "The blob store is full", details=name, hint="Delete checkpoints, or give the store more room"
        )
    return Unavailable("The blob store does not answer", details=f"{name}: {text}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
