"""The job that turns a stored checkpoint into an image: from the blob store, or from another registry.

Before anything is put into the registry the job's row has what was not there, so that an undo knows it after a kill.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from ksnap.checkpoints.engine import Stage
from ksnap.checkpoints.images import Addition, ImageLocation, Images, image_locations
from ksnap.checkpoints.job_log import JobLog, Progress, end_failed
from ksnap.checkpoints.patience import unless_cancelled
from ksnap.checkpoints.records import CheckpointRecords
from ksnap.checkpoints.undoing import leftover, with_leftovers
from ksnap.configuration.registries import Registries
from ksnap.model.checkpoint_image import PushedImage
from ksnap.model.image import ImageRef
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job

# Where a job's request keeps its Addition.
ADDITION = "addition"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublishJob:
    """One stage that pushes and writes down."""

    database: Database
    jobs: JobLog
    records: CheckpointRecords
    registries: Registries
    images: Images

    @property
    def stages(self) -> Sequence[Stage]:
        return (Stage("push", self.push),)

    async def push(self, job_id: str) -> None:
        job = await self.jobs.get(job_id)
        checkpoint = await self.records.get(job.checkpoint_id or "")
        await self.jobs.note(job, Progress("pushing", 12.5, f"Pushing to {job.request['registry']}"))
        image = await unless_cancelled(self.jobs, job_id, self._pushed(job, checkpoint))
        reference = f"{image.host}/{image.repository}:{image.tag}"
        location = ImageLocation(job.request["registry"], reference, image.digest)
        await self.records.publish(
            checkpoint.id, job_id, image, location.registry_name, location.result(), owner=job.request["owner"]
        )
        log.info("checkpoint_published", checkpoint_id=checkpoint.id, image=reference, digest=image.digest)

    async def undo(self, job_id: str, error: Exception) -> None:
        """Take out of the registry what had not been there; a push that failed by itself has done so already."""
        job = await self.jobs.get(job_id)
        left = await leftover("registry", self._taken_out(job))
        async with self.database.writing() as session:
            await end_failed(session, job_id, with_leftovers(error, [left]))
        log.warning("publish_failed", job_id=job_id, error=str(error), left=left)

    async def _pushed(self, job: Job, checkpoint: Checkpoint) -> PushedImage:
        registry = await self.registries.get(job.request["registry"])
        target = ImageRef(registry.access.host, job.request["repository"], job.request["tag"])
        if ADDITION not in job.request:
            addition = await self.images.addition(checkpoint, target, registry)
            await self.jobs.remember(job.id, {ADDITION: asdict(addition)})
        return await self.images.publish(checkpoint, target, registry)

    async def _taken_out(self, job: Job) -> None:
        """But for what other images there need: of other checkpoints, or of this one by another job."""
        if ADDITION not in job.request:
            return
        addition = Addition(**job.request[ADDITION])
        registry = await self.registries.get(job.request["registry"])
        place = ImageRef(registry.access.host, job.request["repository"], job.request["tag"])
        checkpoint = await self.records.get(job.checkpoint_id or "")
        own = [
            each
            for each in await image_locations(self.jobs, checkpoint.id)
            if (each.registry_name, each.repository) == (registry.name, place.repository)
        ]
        others = await self.records.sharing(str(place), checkpoint.id)
        if addition.index in {each.digest for each in own} | {each.image_digest for each in others}:
            return
        layers = {each.compressed_digest for each in (*others, *([checkpoint] if own else ()))}
        await self.images.take_out(registry, place.repository, addition, keep={each for each in layers if each})
