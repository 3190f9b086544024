"""Checkpoints in the database: what each is, where its bytes lie, and how its making ended.

A checkpoint and the job that makes it begin in one transaction and end in one. The unique index over what is running
is the judge of two calls at once.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from ksnap.checkpoints.job_log import JobKind, JobStatus, end_completed, end_failed
from ksnap.errors import Conflict, NotFound
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.node.protocol import FreezeEngine
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Checkpoint, Job


class CheckpointStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class CheckpointFilter:
    pod_name: str | None = None
    namespace: str | None = None
    cluster_name: str | None = None
    status: str | None = None
    limit: int = 100
    offset: int = 0


class CheckpointRecords:
    """Reads and writes checkpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.listeners: list[Callable[[str], None]] = []
        """Told the id of each checkpoint that this process begins, ends or removes, once that is stored."""

    def _tell(self, checkpoint_id: str) -> None:
        for each in self.listeners:
            each(checkpoint_id)

    async def begin(self, checkpoint: Checkpoint, job: Job) -> None:
        """Write both down as running, or Conflict if this container is being frozen already."""
        try:
            async with self._database.writing() as session:
                session.add(checkpoint)
                session.add(job)
        except IntegrityError as error:
            raise Conflict(
                "The container is being frozen already",
                details=f"container {checkpoint.container_name} of pod {checkpoint.namespace}/{checkpoint.pod_name}",
                hint="Wait for that job (GET /jobs), or cancel it",
            ) from error
        self._tell(checkpoint.id)

    async def get(self, checkpoint_id: str) -> Checkpoint:
        async with self._database.reading() as session:
            found = await session.get(Checkpoint, checkpoint_id)
        if found is None:
            raise NotFound("Checkpoint not found", details=f"no checkpoint {checkpoint_id!r}")
        return found

    async def list(self, wanted: CheckpointFilter) -> Sequence[Checkpoint]:
        """Newest first."""
        query = select(Checkpoint).order_by(Checkpoint.created_at.desc(), Checkpoint.id.desc())
        for column, value in (
            (Checkpoint.pod_name, wanted.pod_name),
            (Checkpoint.namespace, wanted.namespace),
            (Checkpoint.cluster_name, wanted.cluster_name),
        ):
            if value is not None:
                query = query.where(column == value)
        if wanted.status is not None:
            query = query.where(Checkpoint.status.in_(_stored(wanted.status)))
        async with self._database.reading() as session:
            return (await session.scalars(query.limit(wanted.limit).offset(wanted.offset))).all()

    async def newest(self, pod_name: str, *, filename: str | None = None) -> Checkpoint | None:
        """The newest completed checkpoint of a pod's name, of a file name if one is given."""
        query = select(Checkpoint).where(
            Checkpoint.pod_name == pod_name, Checkpoint.status == CheckpointStatus.COMPLETED
        )
        if filename is not None:
            query = query.where(Checkpoint.filename == filename)
        query = query.order_by(Checkpoint.created_at.desc(), Checkpoint.id.desc()).limit(1)
        async with self._database.reading() as session:
            return await session.scalar(query)

    async def count_completed(self) -> int:
        query = select(func.count()).select_from(Checkpoint).where(Checkpoint.status == CheckpointStatus.COMPLETED)
        async with self._database.reading() as session:
            return await session.scalar(query) or 0

    async def sharing(self, repository_of: str, checkpoint_id: str) -> Sequence[Checkpoint]:
        """Other checkpoints whose images lie in the repository of an image `host/repository:tag`."""
        repository = repository_of.rpartition(":")[0]
        query = select(Checkpoint).where(
            Checkpoint.id != checkpoint_id, Checkpoint.image.startswith(repository + ":", autoescape=True)
        )
        async with self._database.reading() as session:
            return (await session.scalars(query)).all()

    async def note_archive(
        self, checkpoint_id: str, facts: ArchiveFacts, freeze_engine: FreezeEngine | None = None
    ) -> None:
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None:
                found.size_bytes, found.archive_digest = facts.size_bytes, facts.digest
                found.compressed_bytes, found.compressed_digest = facts.compressed_bytes, facts.compressed_digest
                found.archive_annotations = facts.annotations
                found.freeze_engine, found.frozen_us = freeze_engine, facts.frozen_us

    async def note_image(self, checkpoint_id: str, image: PushedImage, registry_name: str) -> None:
        """Write down where the image is."""
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None:
                _set_image(found, image, registry_name)

    async def publish(
        self,
        checkpoint_id: str,
        job_id: str,
        image: PushedImage,
        registry_name: str,
        result: dict[str, Any],
        *,
        owner: str = "",
    ) -> None:
        """The checkpoint has this image, and the job that pushed it is done: both or none, for an undo removes it.

        The owner's label stands here and not in the image: whoever pushes it again under another name gets the same
        digest.
        """
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None:
                _set_image(found, image, registry_name)
                found.owner_label = owner or found.owner_label
            await end_completed(session, job_id, result)
        self._tell(checkpoint_id)

    async def note_blob(self, checkpoint_id: str, blob_key: str) -> None:
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None:
                found.blob_key = blob_key

    async def complete(self, checkpoint_id: str, job_id: str, result: dict[str, Any]) -> None:
        """The checkpoint and its job are done."""
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None and found.status == CheckpointStatus.RUNNING:
                found.status, found.completed_at = CheckpointStatus.COMPLETED, datetime.now(UTC)
            await end_completed(session, job_id, result)
        self._tell(checkpoint_id)

    async def fail(self, checkpoint_id: str, job_id: str, error: Exception) -> None:
        """The checkpoint and its job have failed; what it had made is gone already."""
        async with self._database.writing() as session:
            job = await end_failed(session, job_id, error)
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None and found.status == CheckpointStatus.RUNNING:
                found.status, found.completed_at = CheckpointStatus.FAILED, datetime.now(UTC)
                found.error_code, found.error = (job.error or {}).get("code"), _sentence(job.error or {})
                found.blob_key = found.image = found.image_digest = found.registry_name = None
        self._tell(checkpoint_id)

    async def begin_use(self, checkpoint_ids: Sequence[str], job: Job) -> None:
        """Add a job that reads checkpoints; Conflict unless all are complete now, in the same transaction.

        The rows are locked, and in one order, so that a deletion comes before or after it.
        """
        async with self._database.writing() as session:
            for each in sorted(set(checkpoint_ids)):
                found = await session.get(Checkpoint, each, with_for_update=True)
                if found is None:
                    raise NotFound("Checkpoint not found", details=f"no checkpoint {each!r}")
                if found.status != CheckpointStatus.COMPLETED:
                    raise not_complete(found)
            session.add(job)

    async def begin_deletion(self, checkpoint_id: str, job: Job) -> None:
        """Mark a checkpoint as being deleted; Conflict while any job works on it."""
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id, with_for_update=True)
            if found is None:
                raise NotFound("Checkpoint not found", details=f"no checkpoint {checkpoint_id!r}")
            running = await session.scalars(select(Job).where(Job.status == JobStatus.RUNNING))
            busy = next((each.id for each in running if checkpoint_id in checkpoints_of(each)), None)
            if busy is not None:
                raise Conflict(
                    "The checkpoint is in use", details=f"job {busy} works on it", hint="Wait for it, or cancel it"
                )
            found.status = CheckpointStatus.DELETING
            session.add(job)
        self._tell(checkpoint_id)

    async def remove(self, checkpoint_id: str, job_id: str, result: dict[str, Any]) -> None:
        """The row goes, and the deletion's job is done."""
        async with self._database.writing() as session:
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None:
                await session.delete(found)
            await end_completed(session, job_id, result)

    async def deletion_failed(self, checkpoint_id: str, job_id: str, error: Exception) -> None:
        """A part may be gone: the checkpoint is of no use, and says so until it is deleted again."""
        async with self._database.writing() as session:
            job = await end_failed(session, job_id, error)
            found = await session.get(Checkpoint, checkpoint_id)
            if found is not None and found.status == CheckpointStatus.DELETING:
                found.status, found.error_code = CheckpointStatus.FAILED, (job.error or {}).get("code")
                found.error = f"Its deletion failed: {_sentence(job.error or {})}"

    async def was_deleted(self, checkpoint_id: str) -> bool:
        """Whether a deletion of this id has ended well: asking again is then as good."""
        query = select(Job.id).where(
            Job.checkpoint_id == checkpoint_id, Job.kind == JobKind.DELETE, Job.status == JobStatus.COMPLETED
        )
        async with self._database.reading() as session:
            return await session.scalar(query.limit(1)) is not None


def checkpoints_of(job: Job) -> set[str]:
    """The checkpoints that a job works on: a restore of several containers has one for each."""
    return {job.checkpoint_id or "", *job.request.get("checkpoint_ids", ())}


def not_complete(checkpoint: Checkpoint) -> Conflict:
    return Conflict(
        "The checkpoint is not complete", details=f"checkpoint {checkpoint.id} is {shown_status(checkpoint.status)}"
    )


def recorded_pod(vault: Vault, checkpoint: Checkpoint) -> dict[str, Any]:
    """The pod of a checkpoint, as it was when it was frozen."""
    pod: dict[str, Any] = json.loads(vault.decrypt(checkpoint.pod_encrypted))
    return pod


def shown_status(status: str) -> str:
    """The contract knows running, completed and failed; a checkpoint that is being deleted is busy."""
    return CheckpointStatus.RUNNING if status == CheckpointStatus.DELETING else status


def _set_image(checkpoint: Checkpoint, image: PushedImage, registry_name: str) -> None:
    checkpoint.image = f"{image.host}/{image.repository}:{image.tag}"
    checkpoint.image_digest, checkpoint.registry_name = image.digest, registry_name


def _stored(shown: str) -> list[str]:
    return ["running", "deleting"] if shown == CheckpointStatus.RUNNING else [shown]


def _sentence(error: dict[str, Any]) -> str:
    parts = (error.get("message", ""), error.get("details", ""), error.get("hint", ""))
    return ". ".join(str(part).rstrip(". ") for part in parts if part)
