"""How a stage waits out what may pass, and stops at once when its job is cancelled.

Two questions, answered in one place each: is this failure one that a second try may cure, and for how long is a second
try worth it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from ksnap.checkpoints.agents import AgentMissing
from ksnap.checkpoints.job_log import JobLog
from ksnap.errors import JobCancelled, KsnapError, Unavailable
from ksnap.kube.failures import ClusterUnreachable

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
# How soon a cancelled job notices; the wish may have been written by another process.
CANCEL_LOOK_S = 0.5
TRANSIENT = (ClusterUnreachable, AgentMissing, Unavailable)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Patience:
    """A time within which failures may pass; each sign of life begins it anew."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause_s = FIRST_PAUSE_S
        self._until = time.monotonic() + seconds

    def renew(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._pause_s = FIRST_PAUSE_S

    async def pause_or_raise(self, error: KsnapError) -> None:
        """Wait before the next try, or raise the error if there is no time for one."""
        if not isinstance(error, TRANSIENT) or time.monotonic() + self._pause_s > self._until:
            raise error
        log.info("job_waits", error=error.message, details=error.details, pause_s=self._pause_s)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


async def patiently(act: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Try until it works; what cannot pass, or does not in time, comes out."""
    patience = Patience(seconds)
    while True:
        try:
            return await act()
        except TRANSIENT as error:
            await patience.pause_or_raise(error)


async def unless_cancelled(jobs: JobLog, job_id: str, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, or JobCancelled as soon as the job's cancelling is asked for."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(_settled(work))
        asked = group.create_task(_asked(jobs, job_id))
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        finished = working.done()
        working.cancel()
        asked.cancel()
    if not finished:
        raise JobCancelled("The job was cancelled", details=f"job {job_id}")
    result, error = working.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # None only where T allows it


async def _settled(work: Coroutine[Any, Any, T]) -> tuple[T | None, Exception | None]:
    """The outcome as a value: a task group would wrap an error in a group."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - handed to the one who waits
        return None, error


async def _asked(jobs: JobLog, job_id: str) -> None:
    while not await _is_asked(jobs, job_id):  # noqa: ASYNC110 - the wish may come from another process
        await asyncio.sleep(CANCEL_LOOK_S)


async def _is_asked(jobs: JobLog, job_id: str) -> bool:
    """Whether the wish was seen: a look that failed saw none, and is no reason to stop the work."""
    try:
        return await jobs.is_cancelled(job_id)
    except KsnapError as error:
        log.warning("cancel_look_failed", job_id=job_id, error=error.message)
        return False
