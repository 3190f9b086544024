"""Writes one unpacked image: into a folder made aside, then renamed to its name. Blocking; for one thread at a time.

Nothing is ever followed: each file is opened below the descriptor of its own folder, which this writer made, with
O_EXCL and O_NOFOLLOW. A folder under its final name is whole and on the disk; what a killed agent or a power loss left
under `.making-` or `.gone-` is swept at the next start.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksnap.agent.state_files import sync_folder
from ksnap.criu.tar_header import bad_archive
from ksnap.criu.unpacking import NewFile, NewFolder, Step
from ksnap.errors import InvalidInput
from ksnap.model.digest import Digest, parse_digest

DESCRIPTION = "image.json"
MAKING = ".making-"
GONE = ".gone-"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Runs of zeros at least so long become holes. Shorter ones would cost more calls than they save writes.
_HOLE_BYTES = 64 * 1024
_ZEROS = bytes(_HOLE_BYTES)
# So much is handed to the disk while the next bytes still come: at the end only little is left to wait for.
_SYNC_BYTES = 64 << 20


def folder_name(digest: Digest) -> str:
    """`sha256-<hex>`: what the runtime is told."""
    return digest.replace(":", "-")


def digest_of_folder(name: str) -> Digest | None:
    """The way back; None for a name that is none of ours."""
    try:
        return parse_digest(name.replace("-", ":", 1))
    except InvalidInput:
        return None


@dataclass(slots=True)
class _OpenFile:
    descriptor: int
    size: int
    at: int = 0


class ImageWriter:
    """One image while it is made; after `finish` it is in its place, after `discard` nothing of it is left."""

    def __init__(self, images_dir: Path, digest: Digest) -> None:
        self._images_dir = images_dir
        self.path = images_dir / folder_name(digest)
        """Where it lies once it is finished."""
        self._path = images_dir / f"{MAKING}{folder_name(digest)}-{secrets.token_hex(4)}"
        self._path.mkdir(mode=0o700)
        self._folders = {"": os.open(self._path, _FOLDER_FLAGS)}
        self._file: _OpenFile | None = None
        self._names: list[str] = []
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="sync image")
        self._sync: Future[None] | None = None
        self._unsynced = 0
        self.size_bytes = 0
        """Of all files so far, holes included."""
        self.finished = False

    def take(self, steps: Sequence[Step]) -> None:
        """Make what the steps say."""
        for step in steps:
            match step:
                case NewFolder():
                    self._folder(step.name)
                case NewFile():
                    self._begin(step)
                case memoryview():
                    self._write(step)

    def finish(self, description: Mapping[str, Any]) -> None:
        """Describe it, wait for the disk, give it its name. One that is there already is left there."""
        if self._file is not None:
            raise bad_archive("a file is not whole")
        text = json.dumps({**description, "size_bytes": self.size_bytes}, sort_keys=True).encode()
        size_bytes = self.size_bytes
        self._begin(NewFile(DESCRIPTION, len(text)))
        self._write(memoryview(text))
        self.size_bytes = size_bytes
        self._sync_all()
        self._close()
        try:
            self._path.rename(self.path)
        except OSError:
            if not self.path.is_dir():
                raise
            # The same content by definition of its name: another pull was faster.
            shutil.rmtree(self._path, ignore_errors=True)
        sync_folder(self._images_dir)
        self.finished = True

    def discard(self) -> None:
        """Leave nothing behind; whatever fails here is swept at the next start."""
        self._close()
        shutil.rmtree(self._path, ignore_errors=True)

    def _folder(self, name: str) -> int:
        """The descriptor of a folder of ours, made when it is first named: archives need not list their folders."""
        found = self._folders.get(name)
        if found is None:
            os.mkdir(name, 0o700, dir_fd=self._folders[""])
            found = os.open(name, _FOLDER_FLAGS, dir_fd=self._folders[""])
            self._folders[name] = found
        return found

    def _begin(self, file: NewFile) -> None:
        folder, _, base = file.name.rpartition("/")
        # The rules allow one level; anything deeper would be made where no rule looked.
        if "/" in folder or not base or self._file is not None:
            raise bad_archive(f"{file.name[:200]!r} cannot be unpacked")
        descriptor = os.open(base, _FILE_FLAGS, 0o600, dir_fd=self._folder(folder))
        self._file = _OpenFile(descriptor, file.size)
        self._names.append(file.name)
        if file.size == 0:
            self._end(self._file)

    def _write(self, data: memoryview) -> None:
        file = self._file
        if file is None or file.at + len(data) > file.size:
            raise bad_archive("data belongs to no file")
        for begin, end in dense_runs(data):
            _write_all(file.descriptor, data[begin:end], file.at + begin)
            self._unsynced += end - begin
        file.at += len(data)
        self.size_bytes += len(data)
        if self._unsynced >= _SYNC_BYTES:
            self._sync_some(file)
        if file.at == file.size:
            self._end(file)

    def _end(self, file: _OpenFile) -> None:
        # A hole at the end is no byte written: the length has to be told.
        os.ftruncate(file.descriptor, file.size)
        os.close(file.descriptor)
        self._file = None

    def _sync_some(self, file: _OpenFile) -> None:
        """Hand what was written to the disk, unless it is still busy with what it was handed before."""
        if self._sync is not None:
            if not self._sync.done():
                return
            self._sync.result()
        self._unsynced = 0
        self._sync = self._syncing.submit(_sync_and_close, os.dup(file.descriptor))

    def _sync_all(self) -> None:
        if self._sync is not None:
            self._sync.result()
        for name in self._names:
            folder, _, base = name.rpartition("/")
            descriptor = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folders[folder])
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for descriptor in self._folders.values():
            os.fsync(descriptor)

    def _close(self) -> None:
        self._syncing.shutdown()
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders = {}


def dense_runs(data: memoryview) -> Iterator[tuple[int, int]]:
    """Where in `data` there is something to write: all but whole blocks of zeros."""
    begin: int | None = None
    for at in range(0, len(data), _HOLE_BYTES):
        if _is_hole(data, at):
            if begin is not None:
                yield begin, at
                begin = None
        elif begin is None:
            begin = at
    if begin is not None:
        yield begin, len(data)


def remove_folder(path: Path) -> None:
    """Take an image away: its name at once, its bytes right after."""
    gone = path.with_name(f"{GONE}{path.name}-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def sweep(images_dir: Path) -> list[str]:
    """Remove what was never finished or not wholly removed; the names of it."""
    swept = [each for each in images_dir.iterdir() if each.name.startswith((MAKING, GONE))]
    for path in swept:
        shutil.rmtree(path, ignore_errors=True)
    return [each.name for each in swept]


def _is_hole(data: memoryview, at: int) -> bool:
    end = at + _HOLE_BYTES
    # The ends first: comparing costs a copy, and almost all blocks that are no holes fail here.
    if end > len(data) or data[at] or data[end - 1]:
        return False
    return bytes(data[at:end]) == _ZEROS


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
