"""Starting a job and going with it to its end: progress, a server that is away for a moment, and Ctrl-C.

The first Ctrl-C asks the server to cancel and waits until it has undone what the job had made; a second one leaves.
A job lives on the server: when this program ends in any other way, the job goes on.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ksnap.cli.api import Api, Json
from ksnap.cli.progress import Step, View
from ksnap.errors import Conflict, JobCancelled, KsnapError, Unavailable, by_code

ENDED = frozenset({"completed", "failed", "cancelled"})
# A restarting server takes its jobs up again; after this long it is told as not reachable.
PATIENCE_S = 120.0
# The server answers at the next event or when this has passed, so that an hour costs few of the limit's requests.
EVENT_WAIT_S = 20.0


class LeftBehind(JobCancelled):
    """A second Ctrl-C: the job was asked to cancel, and nobody waited for it."""


async def run_job(api: Api, start: Callable[[], Awaitable[Json]], view: View) -> Json:
    """Start a job and follow it; its final record. A failed or cancelled one raises what happened."""
    with _interrupts() as interrupts:
        started = await start()  # short, and never interrupted: its answer holds the id to cancel by
        if not started.get("job_id"):
            return started  # there was nothing to do: a deletion of what is gone already
        job_id = str(started["job_id"])
        try:
            ended = await _follow(api, job_id, view, interrupts)
        except LeftBehind:
            raise
        except KsnapError:
            view.note(f"the job goes on at the server; follow it with: ksnap job watch {job_id}")
            raise
        return outcome(ended)


async def watch_job(api: Api, job_id: str, view: View) -> Json:
    """Follow a job that is not ours: Ctrl-C leaves it alone."""
    return await _follow(api, job_id, view, interrupts=None)


def outcome(job: Json) -> Json:
    """The job if it completed; else the error it ended with."""
    if job["status"] == "completed":
        return job
    if job["status"] == "cancelled":
        # Its details say what could not be removed, if anything.
        raise JobCancelled("Cancelled", details=job_error(job).details)
    raise job_error(job)


def job_error(job: Json) -> KsnapError:
    """A failed job's error as itself."""
    error: dict[str, Any] = job.get("error") or {}
    kind = by_code(str(error.get("code", "")), error.get("status"))
    return kind(
        str(error.get("message") or error.get("error") or "The job failed"),
        details=str(error.get("details") or f"job {job['id']}"),
        hint=str(error.get("hint") or ""),
        output=str(error.get("output") or ""),
    )


def step_of(event: Json) -> Step:
    """What one event of a job shows."""
    return Step(
        stage=str(event.get("stage") or event.get("task_name") or "working"),
        message=str(event.get("message") or ""),
        bytes_done=event.get("bytes_done"),
        bytes_total=event.get("bytes_total"),
    )


class _Interrupts:
    """Counts Ctrl-C, and ends the wait that it comes into."""

    def __init__(self) -> None:
        self.count = 0
        self._wait: asyncio.Timeout | None = None

    def add(self) -> None:
        self.count += 1
        if self._wait is not None:
            self._wait.reschedule(0)  # a moment long past: the wait ends now
            self._wait = None

    async def or_done(self, work: Awaitable[Json]) -> Json | None:
        """The work's result; None if Ctrl-C came first, and the work is given up."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await work
        except TimeoutError:
            return None
        finally:
            self._wait = None


@contextlib.contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    loop, interrupts = asyncio.get_running_loop(), _Interrupts()
    loop.add_signal_handler(signal.SIGINT, interrupts.add)
    try:
        yield interrupts
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _follow(api: Api, job_id: str, view: View, interrupts: _Interrupts | None) -> Json:
    after, answered = 0, 0
    while True:
        if interrupts is not None and interrupts.count > answered:
            answered += 1
            if answered > 1:
                raise LeftBehind("Left while cancelling", details=f"job {job_id}", hint=f"ksnap job show {job_id}")
            view.note("cancelling; what was made is being removed (Ctrl-C again to leave)")
            await _cancel(api, job_id)
            continue  # a second Ctrl-C may have come meanwhile
        waiting = _events(api, job_id, after)
        reply = await (waiting if interrupts is None else interrupts.or_done(waiting))
        if reply is None:
            continue
        for event in reply.get("events", []):
            after = max(after, int(event["id"]))
            view.show(step_of(event))
        if reply.get("status") in ENDED:
            return await api.get("jobs", job_id)


async def cancel_job(api: Api, path: tuple[str, ...], view: View) -> Json:
    """Cancel a job (by its own path or its checkpoint's) and go with it until all is undone; its final record."""
    asked = await api.change("POST", *path, "cancel", query={"wait": "false"})
    ended = await watch_job(api, str(asked["id"]), view)
    if ended["status"] != "cancelled":
        raise Conflict("The job ended before it could be cancelled", details=f"job {ended['id']} is {ended['status']}")
    return ended


async def _cancel(api: Api, job_id: str) -> None:
    """Ask for the end; a job that has ended meanwhile, or cannot be cancelled, tells so by its record."""
    with contextlib.suppress(Conflict):
        await api.change("POST", "jobs", job_id, "cancel", query={"wait": "false"})


async def _events(api: Api, job_id: str, after: int) -> Json:
    """The next events, with patience for a server that is away."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_S
    while True:
        try:
            return await api.get(
                "jobs", job_id, "events", query={"after": after, "wait_s": EVENT_WAIT_S}, timeout_s=EVENT_WAIT_S + 20
            )
        except Unavailable:
            if loop.time() > give_up:
                raise
            await asyncio.sleep(1.0)
