"""The job that removes a checkpoint: its images with what no other checkpoint shares, its blob, its row; in that order.

What knows of the rest goes last, so that a deletion that failed half-way can be asked for again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ksnap.checkpoints.engine import Stage
from ksnap.checkpoints.images import Images, image_locations
from ksnap.checkpoints.job_log import JobLog, Progress
from ksnap.checkpoints.names import blob_name
from ksnap.checkpoints.patience import patiently
from ksnap.checkpoints.records import CheckpointRecords
from ksnap.store.blobs import Blobs

PATIENCE_S = 30.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeleteJob:
    jobs: JobLog
    records: CheckpointRecords
    blobs: Blobs
    images: Images

    @property
    def stages(self) -> Sequence[Stage]:
        return (Stage("images", self.remove_images), Stage("blob", self.remove_blob), Stage("row", self.remove_row))

    async def remove_images(self, job_id: str) -> None:
        job = await self.jobs.get(job_id)
        await self.jobs.note(job, Progress("images", 20.0, "Removing images"))
        checkpoint = await self.records.get(job.checkpoint_id or "")
        for each in await image_locations(self.jobs, checkpoint.id):
            others = await self.records.sharing(each.image, checkpoint.id)
            await self.images.remove(each, checkpoint.compressed_digest or "", others)

    async def remove_blob(self, job_id: str) -> None:
        job = await self.jobs.get(job_id)
        checkpoint = await self.records.get(job.checkpoint_id or "")
        # Also one that no row names: what a failed checkpoint could not remove.
        blob_key = checkpoint.blob_key or blob_name(checkpoint.id)
        await patiently(lambda: self.blobs.delete(blob_key), seconds=PATIENCE_S)

    async def remove_row(self, job_id: str) -> None:
        job = await self.jobs.get(job_id)
        checkpoint_id = job.checkpoint_id or ""
        await self.records.remove(checkpoint_id, job_id, {"checkpoint_id": checkpoint_id})
        log.info("checkpoint_deleted", checkpoint_id=checkpoint_id)

    async def undo(self, job_id: str, error: Exception) -> None:
        """Nothing comes back: the row says that the deletion failed, until it is asked for again."""
        job = await self.jobs.get(job_id)
        await self.records.deletion_failed(job.checkpoint_id or "", job_id, error)
        log.warning("deletion_failed", checkpoint_id=job.checkpoint_id, error=str(error))
