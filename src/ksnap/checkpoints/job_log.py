"""Jobs and their events in the database: what is asked, how far it is, how it ended.

A job's end is written once, together with what it means for its checkpoint (`records.py`), in one transaction; what
says `running` here has a workflow that will end it, be it after a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.checkpoints.wire import storable, to_wire
from ksnap.errors import Conflict, JobCancelled, NotFound
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job, JobEvent


class JobKind(StrEnum):
    CHECKPOINT = "checkpoint"
    PUBLISH = "publish"
    RESTORE = "restore"
    DELETE = "delete"


class JobStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TASK_NAMES = {
    JobKind.CHECKPOINT: "Create Checkpoint",
    JobKind.PUBLISH: "Create and Push Checkpoint Container",
    JobKind.RESTORE: "Restore",
    JobKind.DELETE: "Delete Checkpoint",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """One step to write down. `capture_sequence` is the agent's count, where the step is a capture's."""

    stage: str
    percent: float
    message: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    code: str | None = None
    capture_sequence: int | None = None
    task_name: str | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    kind: str | None = None
    status: str | None = None
    checkpoint_id: str | None = None
    limit: int = 100
    offset: int = 0


NOT_A_USER = ":"
"""What no user started is started by `watcher:NAME`, `hook:NAME` and the like; a username cannot hold a colon."""


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event with what its readers want to know of its job."""

    id: int
    job_id: str
    at: datetime
    task_name: str
    stage: str
    progress: float
    message: str
    bytes_done: int | None
    bytes_total: int | None
    code: str | None
    cluster_name: str
    namespace: str
    pod_name: str
    started_by: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a reader gets; None: whichever. `username`: those of this user's jobs and of nobody's."""

    username: str | None = None
    job_id: str | None = None
    cluster_name: str | None = None
    namespace: str | None = None

    def takes(self, event: FeedEvent) -> bool:
        return (
            (self.username is None or event.started_by == self.username or NOT_A_USER in event.started_by)
            and (self.job_id is None or event.job_id == self.job_id)
            and (self.cluster_name is None or event.cluster_name == self.cluster_name)
            and (self.namespace is None or event.namespace == self.namespace)
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same, for the database."""
        found: list[ColumnElement[bool]] = []
        if self.username is not None:
            found.append(or_(Job.started_by == self.username, Job.started_by.contains(NOT_A_USER)))
        if self.job_id is not None:
            found.append(Job.id == self.job_id)
        if self.cluster_name is not None:
            found.append(Job.cluster_name == self.cluster_name)
        if self.namespace is not None:
            found.append(Job.namespace == self.namespace)
        return found


class JobLog:
    """Reads and writes jobs and events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, job_id: str) -> Job:
        async with self._database.reading() as session:
            job = await session.get(Job, job_id)
        if job is None:
            raise NotFound("Job not found", details=f"no job {job_id!r}")
        return job

    async def list(self, wanted: JobFilter) -> Sequence[Job]:
        """Newest first."""
        query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(wanted.limit).offset(wanted.offset)
        if wanted.kind is not None:
            query = query.where(Job.kind == wanted.kind)
        if wanted.status is not None:
            query = query.where(Job.status == wanted.status)
        if wanted.checkpoint_id is not None:
            query = query.where(Job.checkpoint_id == wanted.checkpoint_id)
        async with self._database.reading() as session:
            return (await session.scalars(query)).all()

    async def running(self, checkpoint_id: str | None = None) -> Sequence[Job]:
        return await self.list(JobFilter(status=JobStatus.RUNNING, checkpoint_id=checkpoint_id, limit=10_000))

    async def forgettable(self, *, before: datetime, limit: int) -> Sequence[str]:
        """Jobs that ended before a time, but for those whose results a checkpoint's deletion will go by."""
        makes_image = Job.kind.in_([JobKind.CHECKPOINT, JobKind.PUBLISH])
        query = select(Job.id).where(
            Job.status != JobStatus.RUNNING,
            Job.ended_at < before,
            ~(makes_image & exists().where(Checkpoint.id == Job.checkpoint_id)),
        )
        async with self._database.reading() as session:
            return (await session.scalars(query.limit(limit))).all()

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Remove jobs with their events."""
        async with self._database.writing() as session:
            await session.execute(delete(JobEvent).where(JobEvent.job_id.in_(job_ids)))
            await session.execute(delete(Job).where(Job.id.in_(job_ids)))

    async def add(self, job: Job) -> None:
        async with self._database.writing() as session:
            session.add(job)

    async def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[JobEvent]:
        query = (
            select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > after).order_by(JobEvent.id).limit(limit)
        )
        async with self._database.reading() as session:
            return (await session.scalars(query)).all()

    async def events_of_all(
        self, wanted: Wanted, *, after: int, up_to: int | None = None, limit: int
    ) -> Sequence[FeedEvent]:
        """The events of all jobs after one, in the order of their ids."""
        conditions = [JobEvent.id > after, *([] if up_to is None else [JobEvent.id <= up_to]), *wanted.conditions()]
        query = _with_job().where(*conditions).order_by(JobEvent.id).limit(limit)
        async with self._database.reading() as session:
            return [FeedEvent(*row) for row in await session.execute(query)]

    async def newest_events(self, limit: int) -> Sequence[FeedEvent]:
        """The last events of all jobs, in the order of their ids."""
        query = _with_job().order_by(JobEvent.id.desc()).limit(limit)
        async with self._database.reading() as session:
            return [FeedEvent(*row) for row in await session.execute(query)][::-1]

    async def last_event_id(self) -> int:
        async with self._database.reading() as session:
            return (await session.scalar(select(func.max(JobEvent.id)))) or 0

    async def note(self, job: Job, progress: Progress) -> None:
        """Write one step of progress down."""
        async with self._database.writing() as session:
            session.add(_event(job, progress))

    async def remember(self, job_id: str, facts: dict[str, Any]) -> None:
        """Add to the job's request what its stages have to know when they run again, or its undo. No secrets."""
        async with self._database.writing() as session:
            job = await _running(session, job_id)
            job.request = job.request | facts

    async def last_capture_sequence(self, job_id: str) -> int:
        query = select(func.max(JobEvent.capture_sequence)).where(JobEvent.job_id == job_id)
        async with self._database.reading() as session:
            return (await session.scalar(query)) or 0

    async def ask_to_cancel(self, job_id: str) -> None:
        """Remember the wish; Conflict if the job has ended."""
        asked = (
            update(Job).where(Job.id == job_id, Job.status == JobStatus.RUNNING).values(cancel_requested=True)
        )  # fmt: skip
        async with self._database.writing() as session:
            result = await session.execute(asked)
            if result.rowcount == 0:  # type: ignore[attr-defined] # CursorResult, which execute's type does not say
                job = await session.get(Job, job_id)
                if job is None:
                    raise NotFound("Job not found", details=f"no job {job_id!r}")
                raise Conflict("The job has ended", details=f"job {job_id} is {job.status}")

    async def is_cancelled(self, job_id: str) -> bool:
        async with self._database.reading() as session:
            return bool(await session.scalar(select(Job.cancel_requested).where(Job.id == job_id)))


def new_job(
    job_id: str, kind: JobKind, *, cluster: str, namespace: str, pod: str, by: str, checkpoint_id: str | None,
    request: dict[str, Any], now: datetime,
) -> Job:  # fmt: skip
    """A job that is about to run. `request` may hold no secret."""
    return Job(
        id=job_id, kind=kind, status=JobStatus.RUNNING, checkpoint_id=checkpoint_id, cluster_name=cluster,
        namespace=namespace, pod_name=pod, started_by=by, request=request, cancel_requested=False, created_at=now,
    )  # fmt: skip


async def end_completed(session: AsyncSession, job_id: str, result: dict[str, Any]) -> Job:
    """Within the caller's transaction: the job is done. Again is harmless."""
    job = await _running(session, job_id)
    if job.status == JobStatus.RUNNING:
        job.status, job.result, job.ended_at = JobStatus.COMPLETED, result, datetime.now(UTC)
        session.add(_event(job, Progress("done", 100.0, "Done")))
    return job


async def end_failed(session: AsyncSession, job_id: str, error: Exception) -> Job:
    """Within the caller's transaction: the job has failed or was cancelled. Again is harmless."""
    job = await _running(session, job_id)
    if job.status == JobStatus.RUNNING:
        wire = to_wire(error)
        job.status = JobStatus.CANCELLED if isinstance(error, JobCancelled) else JobStatus.FAILED
        job.error, job.ended_at = wire.model_dump(), datetime.now(UTC)
        last = await session.scalar(select(func.max(JobEvent.progress)).where(JobEvent.job_id == job_id))
        session.add(_event(job, Progress("failed", last or 0.0, wire.message, code=wire.code)))
    return job


def _with_job() -> Select[Any]:
    """The fields of FeedEvent, in its order."""
    columns: tuple[Any, ...] = (
        JobEvent.id, JobEvent.job_id, JobEvent.at, JobEvent.task_name, JobEvent.stage, JobEvent.progress,
        JobEvent.message, JobEvent.bytes_done, JobEvent.bytes_total, JobEvent.code, Job.cluster_name, Job.namespace,
        Job.pod_name, Job.started_by,
    )  # fmt: skip
    return select(*columns).join(Job, Job.id == JobEvent.job_id)


async def _running(session: AsyncSession, job_id: str) -> Job:
    job = await session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFound("Job not found", details=f"no job {job_id!r}")
    return job


def _event(job: Job, progress: Progress) -> JobEvent:
    return JobEvent(
        job_id=job.id, at=datetime.now(UTC), task_name=progress.task_name or TASK_NAMES[JobKind(job.kind)],
        stage=progress.stage, progress=progress.percent, message=storable(progress.message),
        bytes_done=progress.bytes_done, bytes_total=progress.bytes_total, code=progress.code,
        capture_sequence=progress.capture_sequence,
    )  # fmt: skip
