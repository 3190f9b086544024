"""Who may use a checkpoint while another deletes it: the database is the judge."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ksnap.checkpoints.job_log import JobKind, JobLog, JobStatus, new_job
from ksnap.checkpoints.records import CheckpointRecords, CheckpointStatus
from ksnap.errors import Conflict, NotFound
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint, Job

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    opened = open_database(url, timeout_s=5)
    async with opened.writing() as session:
        session.add_all([checkpoint("a"), checkpoint("b")])
    yield opened
    await opened.close()


def checkpoint(name: str, status: str = CheckpointStatus.COMPLETED) -> Checkpoint:
    return Checkpoint(
        id=name, cluster_name="c", namespace="n", pod_name="p", pod_uid="u", container_name=name, container_id="i",
        node_name="node", status=status, filename=f"{name}.tar", key={}, key_digest="k", pod_encrypted=b"",
        created_at=NOW, created_by="admin", archive_annotations={},
    )  # fmt: skip


def job(job_id: str, kind: JobKind, *checkpoint_ids: str) -> Job:
    request = {"checkpoint_ids": list(checkpoint_ids)} if kind is JobKind.RESTORE else {}
    return new_job(
        job_id, kind, cluster="c", namespace="n", pod="p", by="admin", checkpoint_id=checkpoint_ids[0],
        request=request, now=NOW,
    )  # fmt: skip


async def test_no_checkpoint_of_a_restore_can_be_deleted_meanwhile(database: Database) -> None:
    records = CheckpointRecords(database)
    await records.begin_use(["a", "b"], job("restore", JobKind.RESTORE, "a", "b"))
    for each in ("a", "b"):
        with pytest.raises(Conflict, match="in use"):
            await records.begin_deletion(each, job(f"delete-{each}", JobKind.DELETE, each))
        assert (await records.get(each)).status == CheckpointStatus.COMPLETED


async def test_what_is_being_deleted_cannot_be_used(database: Database) -> None:
    records = CheckpointRecords(database)
    await records.begin_deletion("b", job("delete", JobKind.DELETE, "b"))
    with pytest.raises(Conflict, match="not complete"):
        await records.begin_use(["a", "b"], job("restore", JobKind.RESTORE, "a", "b"))
    with pytest.raises(NotFound):
        await records.begin_use(["a", "c"], job("other", JobKind.RESTORE, "a", "c"))
    assert [each.id for each in await JobLog(database).running()] == ["delete"]


async def test_of_a_use_and_a_deletion_at_once_one_is_refused(database: Database) -> None:
    records = CheckpointRecords(database)
    for number in range(5):
        name = f"x{number}"
        async with database.writing() as session:
            session.add(checkpoint(name))
        outcomes = await asyncio.gather(
            records.begin_use([name], job(f"use-{name}", JobKind.PUBLISH, name)),
            records.begin_deletion(name, job(f"delete-{name}", JobKind.DELETE, name)),
            return_exceptions=True,
        )
        assert [type(each) for each in outcomes if each is not None] == [Conflict]
        running = await JobLog(database).running(name)
        assert [each.status for each in running] == [JobStatus.RUNNING]
