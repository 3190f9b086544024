"""One server to a data folder: two on one SQLite database would both take up the jobs that a third had left.

The lock is the kernel's, so it goes with its process, however that ends. PostgreSQL serves several: there each locks
its own id (`server_locks.py`).
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ksnap.errors import Unavailable

LOCK_FILE = "server.lock"


@contextmanager
def only_server(folder: Path, *, patience_s: float) -> Iterator[None]:
    """Hold the folder for the block; Unavailable if another server has it for so long. Blocking."""
    with (folder / LOCK_FILE).open("a") as file:
        until = time.monotonic() + patience_s
        while not _locked(file.fileno()):
            if time.monotonic() > until:
                raise Unavailable(
                    "Another server uses this data folder",
                    details=str(folder),
                    hint="Stop it, give this one a folder of its own (--data-dir), or use PostgreSQL for several",
                )
            time.sleep(0.1)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
