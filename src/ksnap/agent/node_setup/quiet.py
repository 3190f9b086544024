"""The moment in which containerd may be restarted: no pod is starting, no container is being frozen, nor begins to be.

A restart disturbs neither running pods nor their shims, but what containerd itself is at work on is lost.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from ksnap.agent.containerd_lock import ContainerdBusy, containerd_alone
from ksnap.errors import Unavailable

log = structlog.get_logger()

QUIET_S = 600.0
# For so long are new dumps held back while the present ones end; then they go on, and the set-up tries again.
_ALONE_S = 30.0
_LOOK_S = 2.0


@contextmanager
def quiet(at_work: Callable[[], Sequence[str]], state_dir: Path, *, patience_s: float = QUIET_S) -> Iterator[None]:
    """Wait for that moment, and make it last. `at_work` says what containerd works on, in words.

    Unavailable if it does not come: the pod of the set-up tries again by itself.
    """
    deadline = time.monotonic() + patience_s
    while True:
        with ExitStack() as alone:
            busy = at_work() or _not_alone(state_dir, alone) or at_work()
            if not busy:
                yield
                return
        if time.monotonic() > deadline:
            raise Unavailable(
                "containerd has been at work on this node all the time",
                details=", ".join(busy[:5]),
                hint="The set-up restarts it only while it is not; it tries again by itself",
            )
        log.info("waiting_for_containerd", at_work=busy[:5])
        time.sleep(_LOOK_S)


def _not_alone(state_dir: Path, alone: ExitStack) -> list[str]:
    try:
        alone.enter_context(containerd_alone(state_dir, patience_s=_ALONE_S))
    except ContainerdBusy as busy:
        return [busy.message]
    return []
