"""Slow products, kept outside the checkout and keyed by all that went into them.

An entry is a file or folder named `<what>-<first 16 hex of the inputs' sha256>`. It is made under a temporary name
and renamed, so that an entry which exists is whole; what a killed run left half-made is swept away by the next maker,
which holds the entry's lock and so knows that nobody is at work on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.mounts import unmount_below

KEY_LENGTH = 16
"""Digits of a sha256 in an entry's name: more than enough to tell a few dozen entries apart."""


def key_of(*inputs: str | bytes | Path) -> str:
    """Hash texts, bytes, files and folders into one key; a folder counts by its files' names and contents."""
    digest = hashlib.sha256()
    for item in inputs:
        for part in _parts(item):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()[:KEY_LENGTH]


def _parts(item: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(item, str):
        yield item.encode()
    elif isinstance(item, bytes):
        yield item
    elif item.is_dir():
        for path in sorted(path for path in item.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            yield str(path.relative_to(item)).encode()
            yield path.read_bytes()
    else:
        yield item.read_bytes()


class Cache:
    """The folder of entries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, what: str, key: str, make: Callable[[Path], None]) -> Path:
        """Return the entry, making it first if nobody has: `make` is given the path to fill."""
        entry = self.folder / f"{what}-{key}"
        if entry.exists():
            return entry
        with self._locked(what):
            if not entry.exists():
                self._make(entry, what, make)
        return entry

    @contextmanager
    def scratch(self, what: str) -> Iterator[Path]:
        """A folder for one piece of work whose product goes elsewhere; one worker of a kind at a time."""
        folder = self.folder / f".making-{what}"
        with self._locked(what):
            discard(folder)
            folder.mkdir()
            try:
                yield folder
            finally:
                discard(folder)

    def log(self, what: str) -> Path:
        """Where the making of an entry logs to; kept after a failure, so that the error can name it."""
        return self.folder / "logs" / f"{what}.log"

    def _make(self, entry: Path, what: str, make: Callable[[Path], None]) -> None:
        for left in self.folder.glob(f".making-{what}-{'[0-9a-f]' * KEY_LENGTH}*"):
            discard(left)
        half = self.folder / f".making-{entry.name}-{os.getpid()}"
        make(half)
        half.rename(entry)

    @contextmanager
    def _locked(self, what: str) -> Iterator[None]:
        """One maker of a kind at a time, across processes: the second waits, and finds the entry made."""
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(locks / what, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file or a tree, first unmounting what a killed run may have left mounted in it."""
    unmount_below(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
