"""The engine over a real database and DBOS, with jobs of a few lines: what fails for a moment ends no job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dbos import DBOS
from sqlalchemy import update

from ksnap.checkpoints.engine import EngineSettings, JobEngine, Stage, open_engine
from ksnap.checkpoints.job_log import (
    JobFilter,
    JobKind,
    JobLog,
    JobStatus,
    Progress,
    end_completed,
    end_failed,
    new_job,
)
from ksnap.checkpoints.patience import unless_cancelled
from ksnap.errors import ImagePushFailed, KsnapError, Unavailable
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint, Job


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await migrated(tmp_path / "ksnap.db")
    yield opened
    await opened.close()


async def migrated(path: Path) -> Database:
    await asyncio.to_thread(migrate, url(path))
    return open_database(url(path), timeout_s=5)


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@dataclass(slots=True)
class Work:
    """A job of one stage."""

    database: Database
    act: Callable[[str], Awaitable[None]]
    undone: list[str] = field(default_factory=list)
    undo_fails: list[Exception] = field(default_factory=list)
    """What the first undos raise."""

    @property
    def stages(self) -> Sequence[Stage]:
        return (Stage("act", self.act),)

    async def undo(self, job_id: str, error: Exception) -> None:
        self.undone.append(str(error))
        if self.undo_fails:
            raise self.undo_fails.pop(0)
        async with self.database.writing() as session:
            await end_failed(session, job_id, error)

    async def complete(self, job_id: str) -> None:
        async with self.database.writing() as session:
            await end_completed(session, job_id, {})


def checkpoint(name: str) -> Checkpoint:
    return Checkpoint(
        id=name, cluster_name="c", namespace="n", pod_name="p", pod_uid="u", container_name="c", container_id="i",
        node_name="node", status="completed", filename=f"{name}.tar", key={}, key_digest="k", pod_encrypted=b"",
        created_at=datetime.now(UTC), created_by="admin", archive_annotations={},
    )  # fmt: skip


@asynccontextmanager
async def engine_of(work: Work, folder: Path, server_id: str = "one") -> AsyncIterator[JobEngine]:
    settings = EngineSettings(f"sqlite:///{folder / 'jobs.db'}", server_id, grace_s=0.1)
    async with open_engine(JobLog(work.database), {JobKind.DELETE: work}, settings) as engine:
        yield engine


async def add_job(
    database: Database, job_id: str, kind: JobKind = JobKind.DELETE, checkpoint_id: str | None = None
) -> Job:
    job = new_job(
        job_id, kind, cluster="c", namespace="n", pod="p", by="a", checkpoint_id=checkpoint_id, request={},
        now=datetime.now(UTC),
    )  # fmt: skip
    await JobLog(database).add(job)
    return job


async def ended(work: Work, folder: Path, job_id: str = "job") -> Job:
    """The end of a job that is started now."""
    async with engine_of(work, folder) as engine:
        await engine.start(await add_job(work.database, job_id))
        async with asyncio.timeout(30):
            return await engine.wait(job_id)


async def test_a_look_that_fails_does_not_stop_the_work(tmp_path: Path) -> None:
    """The database has no tables for the first looks, as it has none while it restarts."""
    database = open_database(url(tmp_path / "late.db"), timeout_s=5)
    with pytest.raises(Unavailable):
        await JobLog(database).is_cancelled("job")

    async def work() -> str:
        await asyncio.sleep(0.7)
        return "done"

    assert await unless_cancelled(JobLog(database), "job", work()) == "done"
    await database.close()


async def test_a_stage_goes_on_when_the_database_is_back(database: Database, tmp_path: Path) -> None:
    late = tmp_path / "late.db"
    other = open_database(url(late), timeout_s=5)

    async def act(job_id: str) -> None:
        tries.append(job_id)
        if len(tries) == 2:
            await asyncio.to_thread(migrate, url(late))
        await JobLog(other).is_cancelled(job_id)
        await work.complete(job_id)

    tries: list[str] = []
    work = Work(database, act)
    assert (await ended(work, tmp_path)).status == JobStatus.COMPLETED
    assert len(tries) == 2
    assert work.undone == []
    await other.close()


async def test_an_undo_is_repeated_until_the_failure_is_written(database: Database, tmp_path: Path) -> None:
    async def act(_job_id: str) -> None:
        raise ImagePushFailed("refused")

    work = Work(database, act, undo_fails=[Unavailable("away"), ValueError("no such text")])
    job = await ended(work, tmp_path)
    assert job.status == JobStatus.FAILED
    assert (job.error or {})["message"] == "refused"
    assert work.undone == ["refused"] * 3


async def test_what_had_completed_is_not_undone(database: Database, tmp_path: Path) -> None:
    """The commit counts, though the stage never heard of it."""

    async def act(job_id: str) -> None:
        await work.complete(job_id)
        raise KsnapError("the answer was lost")

    work = Work(database, act)
    assert (await ended(work, tmp_path)).status == JobStatus.COMPLETED
    await asyncio.sleep(0.3)
    assert work.undone == []


async def test_others_words_reach_the_database(database: Database) -> None:
    job = await add_job(database, "job")
    await JobLog(database).note(job, Progress("pushing", 1.0, "a\0b\ud800"))
    assert [each.message for each in await JobLog(database).events("job")] == ["ab?"]


async def test_one_server_takes_up_what_it_left_under_another_name(database: Database, tmp_path: Path) -> None:
    """With SQLite there is no other server that could be at work."""

    async def endless(_job_id: str) -> None:
        begun.set()
        await asyncio.sleep(60)

    begun = asyncio.Event()
    async with engine_of(Work(database, endless), tmp_path, "one") as engine:
        await engine.start(await add_job(database, "job"))
        await begun.wait()
    work = Work(database, endless)
    work.act = work.complete
    async with engine_of(work, tmp_path, "two") as engine, asyncio.timeout(30):
        assert (await engine.wait("job")).status == JobStatus.COMPLETED


async def test_what_ended_long_ago_is_forgotten_with_its_notes(database: Database, tmp_path: Path) -> None:
    async def act(job_id: str) -> None:
        await work.complete(job_id)

    work, jobs = Work(database, act), JobLog(database)
    async with engine_of(work, tmp_path) as engine:
        for each in ("old", "new"):
            await engine.start(await add_job(database, each))
            await engine.wait(each)
        await age(database, "old")
        await engine.forget_old()
        assert [each.id for each in await jobs.list(JobFilter())] == ["new"]
        assert [each.workflow_id for each in await DBOS.list_workflows_async()] == ["new"]
        assert await jobs.events("old") == []


async def test_jobs_that_run_or_that_a_deletion_goes_by_are_kept(database: Database) -> None:
    async with database.writing() as session:
        session.add(checkpoint("there"))
    for job_id, kind, checkpoint_id in (
        ("running", JobKind.DELETE, None),
        ("made", JobKind.CHECKPOINT, "there"),
        ("pushed", JobKind.PUBLISH, "there"),
        ("restored", JobKind.RESTORE, "there"),
        ("made-of-gone", JobKind.CHECKPOINT, "gone"),
    ):
        job = await add_job(database, job_id, kind, checkpoint_id)
        if job_id != "running":
            await age(database, job.id)
    found = await JobLog(database).forgettable(before=datetime.now(UTC), limit=10)
    assert sorted(found) == ["made-of-gone", "restored"]


async def age(database: Database, job_id: str) -> None:
    """Let a job have ended long ago."""
    values = {"status": JobStatus.COMPLETED, "ended_at": datetime.now(UTC) - timedelta(days=31)}
    async with database.writing() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(values))


@pytest.mark.parametrize("name", ["one", "another"])
async def test_what_another_version_left_in_the_middle_is_undone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nobody would ever go on with it, and its row would say `running` for ever."""
    begun = asyncio.Event()

    async def act(_job_id: str) -> None:
        begun.set()
        await asyncio.sleep(60)

    work = Work(database, act)
    monkeypatch.setattr("ksnap.checkpoints.engine.WORKFLOW_VERSION", "of yesterday")
    async with engine_of(work, tmp_path) as engine:
        await engine.start(await add_job(database, "job"))
        await begun.wait()
    monkeypatch.undo()
    assert work.undone == []
    async with engine_of(work, tmp_path, name) as engine, asyncio.timeout(30):
        job = await engine.wait("job")
        assert (job.status, len(work.undone)) == (JobStatus.FAILED, 1)
        assert "another version" in (job.error or {})["message"]
        while await DBOS.get_workflow_status_async("job") is not None:  # noqa: ASYNC110 - DBOS has no event for it
            await asyncio.sleep(0.05)
