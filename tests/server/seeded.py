"""A data folder as an earlier server process left it: checkpoints with their archives, and ended jobs.

Written through the store's own code, so that no cluster is needed to have something to list, download and delete.
"""

import hashlib
import io
import json
import random
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard
from pydantic import SecretStr

from ksnap.model.checkpoint_key import DOMAIN, CheckpointKey
from ksnap.settings import ServerSettings
from ksnap.store.blobs import open_blobs
from ksnap.store.database import open_database
from ksnap.store.encryption import open_vault
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint, Job, JobEvent
from tests.parties.server import RunningServer

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARCHIVE_BYTES = 6_000_000
POD = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": [{"name": "web", "image": "r/web:1"}]}}


@dataclass(frozen=True, slots=True)
class Seeded:
    """What is in the folder."""

    archive: bytes
    """The tar, as a download gives it."""
    ids: list[str]
    """Completed checkpoints, newest first; the first has an archive."""
    failed_job: str

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.archive).hexdigest()


@dataclass(frozen=True, slots=True)
class Variety:
    """What else is in the folder of `seed_variety`."""

    pod: str
    filename: str
    """Of the newest checkpoint, and of an older one with the same bytes."""
    older_id: str
    running_id: str
    failed_id: str


@dataclass(frozen=True, slots=True)
class Left:
    """The folder of `seed_variety`, and a server that runs on it."""

    server: RunningServer
    seeded: Seeded
    variety: Variety


async def seed(data_dir: Path, *, checkpoints: int, database_url: str = "") -> Seeded:
    """Fill a data folder (and another database, if one is given) that no server runs on."""
    settings = ServerSettings(data_dir=data_dir, database_url=SecretStr(database_url))
    data_dir.mkdir(mode=0o700)  # noqa: ASYNC240 - nothing else runs
    migrate(settings.resolved_database_url)
    vault = open_vault(settings)
    archive = make_archive()
    compressed = zstandard.compress(archive)
    pod = vault.encrypt(json.dumps(POD).encode())
    rows = [_checkpoint(number, pod) for number in range(checkpoints)]
    newest = rows[-1]
    newest.blob_key = f"archives/{newest.id}.tar.zst"
    newest.size_bytes, newest.archive_digest = len(archive), "sha256:" + hashlib.sha256(archive).hexdigest()
    newest.compressed_bytes, newest.compressed_digest = len(compressed), _digest(compressed)
    await open_blobs(settings.resolved_blob_store_url).put(newest.blob_key, _chunks(compressed))
    job = _failed_job(newest)
    database = open_database(settings.resolved_database_url, timeout_s=5.0)
    try:
        async with database.writing() as session:
            session.add_all([*rows, job])
        async with database.writing() as session:
            session.add_all(_events(job))
    finally:
        await database.close()
    return Seeded(archive, [each.id for each in reversed(rows)], job.id)


async def seed_variety(data_dir: Path) -> tuple[Seeded, Variety]:
    """Three completed checkpoints, of which the newest has an archive, and one of each kind that a list may show."""
    seeded = await seed(data_dir, checkpoints=3)
    database = open_database(ServerSettings(data_dir=data_dir).resolved_database_url, timeout_s=5.0)
    try:
        async with database.writing() as session:
            newest = await session.get_one(Checkpoint, seeded.ids[0])
            kinds = {"running": {"pod_name": "busy"}, "failed": {"pod_name": "broken", "error": "The dump failed"}}
            rows = {status: _like(newest, n, status=status, **more) for n, (status, more) in enumerate(kinds.items())}
            twin = _like(newest, 9, pod_name=newest.pod_name, filename=newest.filename, created_at=BEGUN)
            session.add_all([*rows.values(), twin])
            variety = Variety(newest.pod_name, newest.filename, twin.id, rows["running"].id, rows["failed"].id)
    finally:
        await database.close()
    return seeded, variety


def _like(other: Checkpoint, number: int, **different: Any) -> Checkpoint:
    columns = {name: getattr(other, name) for name in Checkpoint.__table__.columns.keys()}  # noqa: SIM118
    return Checkpoint(**columns | {"id": f"{number:020x}", "filename": f"other-{number}.tar"} | different)


def make_archive() -> bytes:
    """A tar that does not compress, so that it takes many pieces on its way."""
    content = random.Random(0).randbytes(ARCHIVE_BYTES)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("checkpoint/pages-1.img")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _checkpoint(number: int, pod_encrypted: bytes) -> Checkpoint:
    at = BEGUN + timedelta(seconds=number)
    key = CheckpointKey("dev", "shop", "Deployment/web", "web", "web", "r/web:1", "sha256:" + "1" * 64, "abc", "def")
    return Checkpoint(
        id=f"{int(at.timestamp() * 1000):012x}{number:08x}",
        cluster_name="dev",
        namespace="shop",
        pod_name=f"web-{number}",
        pod_uid=f"uid-{number}",
        container_name="web",
        container_id="containerd://" + "0" * 64,
        node_name="node-1",
        status="completed",
        filename=f"checkpoint-web-{number}_shop-web-{at:%Y%m%dt%H%M%Sz}-{number:08x}.tar",
        key=key.annotations() | {f"{DOMAIN}/architecture": "amd64"},
        key_digest=key.digest(),
        pod_encrypted=pod_encrypted,
        created_at=at,
        completed_at=at,
        created_by="admin",
        archive_annotations={},
    )


def _failed_job(checkpoint: Checkpoint) -> Job:
    error = {
        "code": "IMAGE_PUSH_FAILED",
        "status": 502,
        "message": "The push was refused",
        "details": "registry.example: denied",
        "hint": "Give the account the right to push",
    }
    return Job(
        id="0" * 19 + "a",
        kind="publish",
        status="failed",
        checkpoint_id=checkpoint.id,
        cluster_name=checkpoint.cluster_name,
        namespace=checkpoint.namespace,
        pod_name=checkpoint.pod_name,
        started_by="admin",
        request={},
        error=error,
        cancel_requested=False,
        created_at=BEGUN,
        ended_at=BEGUN,
    )


def _events(job: Job) -> list[JobEvent]:
    steps = [("pushing", 12.5, 0), ("pushing", 50.0, 3_000_000), ("failed", 50.0, None)]
    return [
        JobEvent(
            job_id=job.id,
            at=BEGUN,
            task_name="Create and Push Checkpoint Container",
            stage=stage,
            progress=progress,
            message="",
            bytes_done=done,
            bytes_total=None if done is None else ARCHIVE_BYTES,
        )
        for stage, progress, done in steps
    ]
