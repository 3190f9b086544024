"""Keeps dumps and a restart of containerd apart, on one node, across processes.

A containerd that is restarted in the middle of a dump takes the container for lost, and the kubelet starts it anew. So
the agent holds a lock while it has a container frozen, shared with other dumps; the node set-up holds it alone while it
restarts containerd. Both are locks of open files (flock(2)) in the agent's folder on the node: they end with whoever
holds them, however that ends. What outlives its holder (a dump whose agent was killed) or never had one (somebody
else's `kubectl create --raw .../checkpoint/...`) is seen in containerd's own folders: `dumps_under_way`.

There are two files, so that a stream of dumps cannot keep a restart waiting for ever: who wants the lock passes a gate,
and a restart that waits holds the gate.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ksnap.errors import Unavailable

# containerd's folder of a dump, in the container's own; it is removed when the dump has ended.
DUMP_FOLDER = "ctrd-checkpoint"
_GATE, _LOCK = "containerd.gate", "containerd.lock"
_LOOK_S = 0.1


class ContainerdBusy(Unavailable):
    """The other side has held the lock for too long."""


@asynccontextmanager
async def containerd_kept(state_dir: Path, *, patience_s: float) -> AsyncIterator[None]:
    """Nobody of ours restarts containerd in here. ContainerdBusy if it is being restarted for longer than that."""
    deadline = time.monotonic() + patience_s
    with ExitStack() as held:
        while not await _try_shared(state_dir, held):
            if time.monotonic() > deadline:
                raise ContainerdBusy(
                    "The node's containerd is being restarted", details=f"for {patience_s:g} s", hint="Try again"
                )
            await asyncio.sleep(_LOOK_S)
        yield


@contextmanager
def containerd_alone(state_dir: Path, *, patience_s: float) -> Iterator[None]:
    """No agent has a container frozen in here. ContainerdBusy if one has for longer than that. Blocking."""
    deadline = time.monotonic() + patience_s
    with ExitStack() as held:
        for name in (_GATE, _LOCK):
            while not _locked(state_dir, name, fcntl.LOCK_EX, held):
                if time.monotonic() > deadline:
                    raise ContainerdBusy(
                        "A checkpoint is under way on this node", hint="containerd is restarted when it has ended"
                    )
                time.sleep(_LOOK_S)
        yield


def dumps_under_way(containers_dir: Path, *, since: float) -> list[str]:
    """Ids of the containers that containerd is dumping, whoever asked for it; of those begun at `since` (Unix time) or
    later: a folder from before containerd's own start is a leftover."""
    found = []
    for folder in containers_dir.glob(f"*/{DUMP_FOLDER}"):
        try:
            begun = folder.stat().st_mtime
        except OSError:
            continue  # It has ended meanwhile.
        if begun >= since:
            found.append(folder.parent.name)
    return found


async def _try_shared(state_dir: Path, held: ExitStack) -> bool:
    """In a thread, for the disk may be slow; a cancelled caller waits for it, or would not give back what it took."""
    attempt = asyncio.create_task(asyncio.to_thread(_shared, state_dir, held))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await attempt
        raise


def _shared(state_dir: Path, held: ExitStack) -> bool:
    with ExitStack() as gate:
        return _locked(state_dir, _GATE, fcntl.LOCK_SH, gate) and _locked(state_dir, _LOCK, fcntl.LOCK_SH, held)


def _locked(state_dir: Path, name: str, how: int, held: ExitStack) -> bool:
    """Whether the lock was to be had at once; if so `held` gives it back."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    held.callback(os.close, descriptor)
    return True
