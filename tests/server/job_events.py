"""Jobs that somebody else writes: events put into a running server's database through the store's own code."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from ksnap.checkpoints.job_log import JobKind, JobLog, JobStatus, Progress, new_job
from ksnap.settings import ServerSettings
from ksnap.store.database import Database, open_database
from ksnap.store.tables import Job, JobEvent


@dataclass(frozen=True, slots=True)
class JobWriter:
    """Writes jobs and their events."""

    database: Database
    jobs: JobLog

    async def job(self, *, by: str = "admin", cluster: str = "prod", namespace: str = "shop") -> Job:
        """A job that needs no engine: its events are what counts here."""
        job = new_job(
            uuid.uuid4().hex[:20], JobKind.CHECKPOINT, cluster=cluster, namespace=namespace, pod="web-0", by=by,
            checkpoint_id=None, request={}, now=datetime.now(UTC),
        )  # fmt: skip
        job.status = JobStatus.COMPLETED
        await self.jobs.add(job)
        return job

    async def note(self, job: Job, message: str, *, stage: str = "dumping", percent: float = 30.0) -> None:
        await self.jobs.note(job, Progress(stage, percent, message, bytes_done=1, bytes_total=2))

    async def note_many(self, job: Job, messages: list[str]) -> None:
        """All of them at once, in one transaction."""
        async with self.database.writing() as session:
            session.add_all([job_event(job, each) for each in messages])


def job_event(job: Job, message: str) -> JobEvent:
    """An event that is not written yet."""
    return JobEvent(
        job_id=job.id,
        at=datetime.now(UTC),
        task_name="Create Checkpoint",
        stage="dumping",
        progress=30.0,
        message=message,
    )


@asynccontextmanager
async def open_writer(data_dir: Path, database_url: str = "") -> AsyncIterator[JobWriter]:
    """A writer beside the server of this folder, or of another database."""
    settings = ServerSettings(data_dir=data_dir, database_url=SecretStr(database_url))
    database = open_database(settings.resolved_database_url, timeout_s=30)
    try:
        yield JobWriter(database, JobLog(database))
    finally:
        await database.close()
