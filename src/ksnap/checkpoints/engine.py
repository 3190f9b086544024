"""Runs jobs durably: one DBOS workflow per job, whose stages are steps.

DBOS keeps its own notes (which steps are done) in a database of its own; ours say what the job is about. A workflow
gets the job's kind and id and nothing else, so no secret ever reaches DBOS's tables. What a kill -9 interrupts, the
next start takes up at the stage that had not ended, or another server of the same database: each looks every few
seconds for what servers that are dead had left.

DBOS is one per process and keeps a registry of functions; both are made in `open_engine` and taken apart at its end,
so that importing this module does nothing. Cancelling is ours, not DBOS's: a workflow cancelled there may run no
further step, and then nothing would be undone.
"""

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from dbos import DBOS, SetWorkflowID

from ksnap.checkpoints.job_log import JobLog, JobStatus
from ksnap.checkpoints.patience import FIRST_PAUSE_S, Patience
from ksnap.checkpoints.wire import from_wire, to_wire
from ksnap.errors import JobCancelled, KsnapError, Unavailable
from ksnap.node.protocol import WireError
from ksnap.store.database import DatabaseUnavailable
from ksnap.store.server_locks import ServerLocks
from ksnap.store.tables import Job

# Workflows begun by one program are continued by a later one only if this is unchanged: raise it when stages change.
# What an earlier version left in the middle is undone: its stages are not those of this one.
WORKFLOW_VERSION = "3"
WORKFLOW_NAME = "ksnap_job"
# DBOS makes its pool the event loop's own; without a bound it would start a thread for every call at once.
THREADS = 32
# How often the end of a job is looked for in the database, where another process may have written it.
LOOK_S = 1.0
# A database that restarts or fails over is back by then.
DATABASE_PATIENCE_S = 120.0
LONGEST_UNDO_PAUSE_S = 30.0
# How often a server sees to its own lock, and every how many of these rounds it looks for others' jobs. A server is
# dead if its lock was free at two looks: between them a live one whose session broke has taken it again.
ROUND_S = 3.0
ROUNDS_PER_LOOK = 3
# About an hour; and so few at a time that nobody waits for SQLite's lock.
ROUNDS_PER_FORGETTING = 1200
FORGET_AT_ONCE = 100
_ENDED_IN_DBOS = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a job: idempotent, for it may run again after a kill."""

    name: str
    act: Callable[[str], Awaitable[None]]


class JobRunner(Protocol):
    """What one kind of job does."""

    @property
    def stages(self) -> Sequence[Stage]:
        """In order; the last one writes the job's end down."""

    async def undo(self, job_id: str, error: Exception) -> None:
        """Remove what the stages had made and write the failure down; raises only if that cannot be written.

        Never called for a job that has ended, and again until the failure is written.
        """


@dataclass(frozen=True, slots=True)
class EngineSettings:
    database_url: str
    """Of DBOS's own notes; `sqlite:///...` or `postgresql://...`."""
    server_id: str
    """Kept over restarts and unlike that of any other server on the same database."""
    grace_s: float
    """How long jobs may still run when the server stops; what is not done by then goes on at the next start."""
    keep_jobs: timedelta = timedelta(days=30)
    """For how long ended jobs are remembered."""
    locks: ServerLocks | None = None
    """Tells which other servers are alive; None: there can be no other."""


class JobEngine:
    """Starts jobs and waits for them. Made by `open_engine`."""

    def __init__(self, jobs: JobLog, runners: Mapping[str, JobRunner], settings: EngineSettings) -> None:
        self._jobs = jobs
        self._runners = runners
        self._settings = settings
        self._perhaps_dead: set[str] = set()
        self._ended: dict[str, asyncio.Event] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._workflow: Callable[[str, str], Coroutine[Any, Any, None]] | None = None

    async def start(self, job: Job) -> None:
        """Begin a job that is in the database. Again is harmless: a workflow of one id is started once."""
        if self._workflow is None:
            raise Unavailable("ksnap is stopping", hint="Try again when it has started")
        with SetWorkflowID(job.id):
            await DBOS.start_workflow_async(self._workflow, job.kind, job.id)

    async def wait(self, job_id: str) -> Job:
        """The job when it has ended, whichever process ran it."""
        while (job := await self._jobs.get(job_id)).status == JobStatus.RUNNING:
            if self._workflow is None:
                raise Unavailable("ksnap is stopping", details=f"job {job_id} goes on when it has started again")
            ended = self._ended.setdefault(job_id, asyncio.Event())
            try:
                async with asyncio.timeout(LOOK_S):
                    await ended.wait()
            except TimeoutError:
                continue
        self._ended.pop(job_id, None)
        return job

    async def open(self) -> None:
        """Register the workflow, launch DBOS, and take up what an earlier process left."""

        async def ksnap_job(kind: str, job_id: str) -> None:
            await self._run(kind, job_id)

        workflow = DBOS.workflow(name=WORKFLOW_NAME)(ksnap_job)
        # In this thread, for DBOS runs coroutines on the loop that launched it; it blocks for a fraction of a second,
        # before the first request.
        DBOS.launch()
        self._workflow = workflow
        await self._recover_dead()
        await self._adopt()

    async def watch(self) -> None:
        """Take up, again and again, what nobody works on: jobs of dead servers, and what `_adopt` finds."""
        for number in itertools.count(1):
            await asyncio.sleep(ROUND_S)
            try:
                if self._settings.locks is not None:
                    await self._settings.locks.keep()
                if number % ROUNDS_PER_LOOK == 0:
                    await self._recover_dead()
                    await self._adopt()
                if number % ROUNDS_PER_FORGETTING == 1:
                    await self.forget_old()
            except Exception:  # the next round may do better
                log.exception("job_watch_failed")

    async def close(self, grace_s: float) -> None:
        """Wait a while for what runs; the rest is interrupted and goes on at the next start."""
        self._workflow = None
        for ended in self._ended.values():
            ended.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace_s)
        left = dict(self._running)
        for task in left.values():
            task.cancel()
        if left:
            log.warning("jobs_left_for_the_next_start", jobs=sorted(left))
            await asyncio.wait(left.values(), timeout=grace_s)

    async def _run(self, kind: str, job_id: str) -> None:
        structlog.contextvars.bind_contextvars(job_id=job_id)
        task = asyncio.current_task()
        if task is not None:
            self._running[job_id] = task
        try:
            await self._stages(self._runners[kind], job_id)
        finally:
            self._has_ended(job_id)

    def _has_ended(self, job_id: str) -> None:
        """Whoever waits for it looks now."""
        self._running.pop(job_id, None)
        if (ended := self._ended.pop(job_id, None)) is not None:
            ended.set()

    async def _stages(self, runner: JobRunner, job_id: str) -> None:
        """The workflow proper. Deterministic: which steps run depends on recorded outcomes alone."""
        for stage in runner.stages:
            failure = await DBOS.run_step_async({"name": stage.name}, self._outcome, stage, job_id)
            if failure is not None:
                await DBOS.run_step_async({"name": "undo"}, self._undone, runner, job_id, failure)
                return

    async def _outcome(self, stage: Stage, job_id: str) -> dict[str, Any] | None:
        """A stage's failure as JSON for DBOS's notes, None if it went well."""
        try:
            await self._act(stage, job_id)
        except KsnapError as error:
            log.info("job_stage_failed", stage=stage.name, code=error.code, error=error.message, details=error.details)
            return {"error": to_wire(error).model_dump(), "cancelled": isinstance(error, JobCancelled)}
        except Exception as error:
            log.exception("job_stage_broke", stage=stage.name)
            return {"error": to_wire(error).model_dump(), "cancelled": False}
        return None

    async def _act(self, stage: Stage, job_id: str) -> None:
        """Act, and again if the database was away: a stage may run twice, and minutes of work are not undone for that.

        A job may have ended without DBOS hearing of it; what its last stage had made may be gone again by now.
        """
        patience = Patience(DATABASE_PATIENCE_S)
        while True:
            began = time.monotonic()
            try:
                if (await self._jobs.get(job_id)).status == JobStatus.RUNNING:
                    await stage.act(job_id)
            except DatabaseUnavailable as error:
                if time.monotonic() - began > DATABASE_PATIENCE_S:
                    patience.renew()  # it had worked for long: this is another outage
                await patience.pause_or_raise(error)
            else:
                return

    async def _undone(self, runner: JobRunner, job_id: str, failure: dict[str, Any]) -> None:
        """Undo until it is written down: a row that says `running` with no one at work would say so for ever."""
        error = from_wire(WireError.model_validate(failure["error"]), cancelled=failure["cancelled"])
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._undo(runner, job_id, error)
            except KsnapError as failed:
                log.warning("job_undo_failed", error=failed.message, details=failed.details, pause_s=pause_s)
            except Exception:
                log.exception("job_undo_broke", pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_UNDO_PAUSE_S)

    async def _undo(self, runner: JobRunner, job_id: str, error: Exception) -> None:
        """A stage whose end counts in the database may still be heard of as failed: then there is nothing to undo."""
        if (await self._jobs.get(job_id)).status == JobStatus.RUNNING:
            await runner.undo(job_id, error)

    async def forget_old(self) -> None:
        """Remove what ended long ago, DBOS's notes first: without our row nobody would know of them."""
        before = datetime.now(UTC) - self._settings.keep_jobs
        while old := await self._jobs.forgettable(before=before, limit=FORGET_AT_ONCE):
            await DBOS.delete_workflows_async(list(old))
            await self._jobs.forget(old)
            log.info("old_jobs_forgotten", jobs=len(old))

    async def _recover_dead(self) -> None:
        """Put the jobs of servers that are dead where any live one takes them. DBOS does so for our own id only."""
        found = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        old: dict[str, list[str]] = defaultdict(list)
        for workflow in found:
            if workflow.app_version != WORKFLOW_VERSION:
                old[workflow.executor_id or ""].append(workflow.workflow_id)
        self._give_up(old[self._settings.server_id])
        servers = {workflow.executor_id for workflow in found if workflow.executor_id} - {self._settings.server_id}
        free = set()
        for each in sorted(servers):
            async with self._found_dead(each) as is_dead:
                if is_dead and (each in self._perhaps_dead or self._settings.locks is None):
                    await _recover(each)
                    self._give_up(old[each])
                elif is_dead:
                    free.add(each)
        self._perhaps_dead = free

    def _found_dead(self, server_id: str) -> AbstractAsyncContextManager[bool]:
        """Whether another server is dead: where there can be no other, one of another name is a former self."""
        locks = self._settings.locks
        return nullcontext(True) if locks is None else locks.of_dead(server_id)  # noqa: FBT003 - a value, not a flag

    def _give_up(self, workflow_ids: Sequence[str]) -> None:
        """Undo jobs that an earlier version had begun and nobody will go on with; in the background, as all jobs."""
        for job_id in workflow_ids:
            if job_id not in self._running:
                self._running[job_id] = asyncio.create_task(self._given_up(job_id), name=f"give up {job_id}")

    async def _given_up(self, job_id: str) -> None:
        error = KsnapError(
            "ksnap was replaced by another version in the middle of the job",
            hint="Begin it again",
        )
        try:
            job = await self._jobs.get(job_id)
            failure = {"error": to_wire(error).model_dump(), "cancelled": False}
            await self._undone(self._runners[job.kind], job_id, failure)
            await DBOS.delete_workflows_async([job_id])
            log.info("old_job_given_up", job_id=job_id)
        except Exception:  # the next round tries again
            log.exception("old_job_not_given_up", job_id=job_id)
        finally:
            self._has_ended(job_id)

    async def _adopt(self) -> None:
        """Start what a kill left between our note and DBOS's, and end what only seems to run."""
        for job in await self._jobs.running():
            try:
                await self._adopt_one(job)
            except Exception:  # one job must not keep the others, or the server's start, waiting
                log.exception("job_not_adopted", job_id=job.id)

    async def _adopt_one(self, job: Job) -> None:
        status = await DBOS.get_workflow_status_async(job.id)
        if status is None:
            await self.start(job)
        elif status.status in _ENDED_IN_DBOS:
            log.error("job_had_ended_without_a_word", job_id=job.id, workflow_status=status.status)
            await self._undo(self._runners[job.kind], job.id, KsnapError("The job ended inside ksnap"))


@asynccontextmanager
async def open_engine(
    jobs: JobLog, runners: Mapping[str, JobRunner], settings: EngineSettings
) -> AsyncIterator[JobEngine]:
    """A running engine; at the block's end its jobs get their grace and DBOS is gone."""
    # DBOS would write its own lines to standard error if its logger had no handler.
    logging.getLogger("dbos").addHandler(logging.NullHandler())
    DBOS(
        config={
            "name": "ksnap",
            "system_database_url": settings.database_url,
            "application_version": WORKFLOW_VERSION,
            "executor_id": settings.server_id,
            "max_executor_threads": THREADS,
            "log_level": "WARNING",
        }
    )
    engine = JobEngine(jobs, runners, settings)
    try:
        await engine.open()
        async with _meanwhile(engine.watch()):
            yield engine
    finally:
        await engine.close(settings.grace_s)
        await _destroy()


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let it run until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _recover(server_id: str) -> None:
    # DBOS names this as its own affair, yet there is no public call for a single process that recovers another's.
    handles = await asyncio.to_thread(DBOS._recover_pending_workflows, [server_id])
    log.info("jobs_of_dead_server_taken_up", server=server_id, jobs=[each.workflow_id for each in handles])


async def _destroy() -> None:
    """End DBOS and give the event loop a pool of its own again: DBOS's, which it had put there, ends with it."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbos-destroy") as pool:
        await loop.run_in_executor(pool, lambda: DBOS.destroy(destroy_registry=True))
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
