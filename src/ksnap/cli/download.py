"""A download that survives dropped connections: Range from where it stopped, a temporary name until all is right.

An archive is a process' memory, so its file is readable by its owner alone. The ETag is the archive's sha256.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp

from ksnap.cli.api import Api
from ksnap.cli.progress import Step, View
from ksnap.errors import AlreadyExists, Conflict, InvalidInput, KsnapError, Unavailable

STDOUT = Path("-")
CHUNK = 1 << 20
# Pauses between attempts that brought nothing; any byte starts them anew.
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was written, and whether its digest was there to compare."""

    size_bytes: int
    digest: str
    verified: bool


async def download(
    api: Api, path: tuple[str, ...], query: Mapping[str, object], *, sink: BinaryIO, view: View
) -> Downloaded:
    """Everything at `path`, written to `sink` in order and compared with its ETag."""
    transfer = _Transfer(sink, view)
    fruitless = 0
    while True:
        before = transfer.done
        try:
            await transfer.attempt(api, path, query)
            return transfer.checked()
        except Unavailable as error:
            fruitless = 0 if transfer.done > before else fruitless + 1
            if fruitless >= len(PAUSES_S):
                raise
            view.note(f"connection lost after {transfer.done} bytes, going on: {error.message}")
            await asyncio.sleep(PAUSES_S[fruitless])


class _Transfer:
    """The state that outlives one connection: what was written, its hash, and which archive it is a part of."""

    def __init__(self, sink: BinaryIO, view: View) -> None:
        self.done = 0
        self._sink = sink
        self._view = view
        self._hash = hashlib.sha256()
        self._etag = ""
        self._total: int | None = None

    async def attempt(self, api: Api, path: tuple[str, ...], query: Mapping[str, object]) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.done:
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self._etag}
        async with api.stream(*path, query=query, headers=headers) as response:
            skip = self._begin(response)
            async for chunk in response.content.iter_chunked(CHUNK):
                fresh = chunk[skip:]
                skip -= len(chunk) - len(fresh)
                if fresh:
                    await asyncio.to_thread(self._write, fresh)
                    self._view.show(Step("downloading", bytes_done=self.done, bytes_total=self._total))

    def _begin(self, response: aiohttp.ClientResponse) -> int:
        """Compare the answer with what is here already; how many of its first bytes we have."""
        etag, length = response.headers.get("ETag", ""), response.headers.get("Content-Length", "")
        if self.done and (not etag or etag != self._etag):
            raise Conflict("The archive changed during the download", details=f"{self._etag} became {etag}")
        start = _range_start(response) if response.status == 206 else 0
        if start > self.done:
            raise Conflict("The server left out a part of the archive", details=f"asked for {self.done}, got {start}")
        self._etag = etag
        self._total = start + int(length) if length.isdecimal() else None
        return self.done - start

    def _write(self, chunk: bytes) -> None:
        try:
            self._sink.write(chunk)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise KsnapError("The download cannot be written", details=str(error.strerror)) from error
        self._hash.update(chunk)
        self.done += len(chunk)

    def checked(self) -> Downloaded:
        digest = "sha256:" + self._hash.hexdigest()
        told = self._etag.removeprefix("W/").strip('"')
        if told.startswith("sha256:") and told != digest:
            raise KsnapError("The download is damaged", details=f"its digest is {digest}, it should be {told}")
        return Downloaded(self.done, digest, verified=told == digest)


def _range_start(response: aiohttp.ClientResponse) -> int:
    """`Content-Range: bytes 100-199/200` -> 100 (RFC 9110, section 14.4)."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else 0


@contextlib.contextmanager
def destination(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Where to write: stdout, or a temporary file that takes the name when the block ends well."""
    if path == STDOUT:
        if sys.stdout.isatty():
            raise InvalidInput("An archive is no text for a terminal", hint="Pipe it on, or use -o FILE")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    _check_free(path, force=force)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:
        raise InvalidInput("Cannot write there", details=f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_free(path, force=force)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _check_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise InvalidInput("That is a folder", details=str(path), hint="Name a file")
    if path.exists() and not force:
        raise AlreadyExists("The file exists", details=str(path), hint="Overwrite it with --force")
