"""The public keys that this node trusts: PEM files in a folder, a ConfigMap's, re-read when they change.

A file that cannot be read or holds anything but public keys on P-256 is told in the log once, and trusted in no part.
No folder, or none of use in it: nobody is trusted by the node itself.
"""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from ksnap.errors import InvalidInput
from ksnap.oci.signing_keys import VerifyingKey, parse_public_keys

log = structlog.get_logger()

# A key has 180 bytes; each file may hold several, and a node trusts a handful of servers.
_FILE_BYTES = 64 << 10
_FILES = 64

_Shape = tuple[tuple[str, int, int, int], ...]


class TrustedKeys:
    """`current` looks at the folder each time, and reads its files only if they are others than before."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._shape: _Shape = ()
        self._keys: tuple[VerifyingKey, ...] = ()
        self._reading = asyncio.Lock()

    async def current(self) -> tuple[VerifyingKey, ...]:
        """The keys as they are trusted now."""
        if self._folder is None:
            return ()
        async with self._reading:
            return await asyncio.to_thread(self._refresh, self._folder)

    def _refresh(self, folder: Path) -> tuple[VerifyingKey, ...]:
        shape = _shape_of(folder)
        if shape != self._shape:
            # The shape is taken first: a change while the files are read is seen the next time.
            found = {key.key_id: key for name, *_ in shape for key in _keys_in(folder / name)}
            self._shape, self._keys = shape, tuple(found.values())
            log.info("trusted_keys_read", folder=str(folder), keys=sorted(found))
        return self._keys


def _shape_of(folder: Path) -> _Shape:
    """What tells that files have changed: a ConfigMap's are links into a folder that is replaced as a whole."""
    try:
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return ()
    if len(names) > _FILES:
        log.warning("trusted_keys_too_many", folder=str(folder), files=len(names), limit=_FILES)
    found = []
    for name in names[:_FILES]:
        try:
            status = (folder / name).stat()
        except OSError:
            # Told when it is read.
            found.append((name, 0, 0, 0))
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _keys_in(path: Path) -> Iterator[VerifyingKey]:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            log.warning("trusted_key_refused", file=path.name, reason=f"it has more than {_FILE_BYTES} bytes")
            return
        yield from parse_public_keys(data.decode("ascii"))
    except OSError as error:
        log.warning("trusted_key_refused", file=path.name, reason=error.strerror)
    except UnicodeDecodeError:
        log.warning("trusted_key_refused", file=path.name, reason="it is no PEM")
    except InvalidInput as error:
        log.warning("trusted_key_refused", file=path.name, reason=f"{error.message}: {error.details}")
