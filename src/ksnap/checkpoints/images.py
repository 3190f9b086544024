"""Checkpoint images in registries, from the server's side: publish a stored one, read its archive, remove.

Bulk bytes pass through here only where no node is at hand: an archive from the blob store, or a copy between two
repositories. Credentials are read for each call.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ksnap.checkpoints.job_log import JobFilter, JobLog, JobStatus
from ksnap.configuration.registries import Registries, StoredRegistry
from ksnap.errors import Conflict
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.checkpoint_key import DOMAIN
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef, parse_image
from ksnap.oci.checkpoint_image import build_image
from ksnap.registry.blobs import Blobs as RegistryBlobs
from ksnap.registry.client import open_registry
from ksnap.registry.image_copy import Place, copy_image
from ksnap.registry.image_push import ImageTarget, push_image, put_tag_back, undo_push
from ksnap.registry.image_removal import image_parts, remove_image
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import Signer, Signing
from ksnap.store.blobs import Blobs
from ksnap.store.tables import Checkpoint

ARCHITECTURE = f"{DOMAIN}/architecture"


@dataclass(frozen=True, slots=True)
class ImageLocation:
    """An image of ours: in which configured registry, its reference, its index."""

    registry_name: str
    image: str
    """host/repository:tag"""
    digest: str

    @property
    def repository(self) -> str:
        return parse_image(self.image).repository

    def result(self) -> dict[str, str]:
        """As a job's result keeps it: what a deletion goes by."""
        return {"registry": self.registry_name, "image": self.image, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Addition:
    """What a push puts into a repository: a part of an image, or all of it. Kept in the job's row, as JSON."""

    index: str
    layer: str
    manifests: list[str]
    """That were not there, the index last."""
    blobs: list[str]
    found: list[str]
    """Parts of the image that were there before, and stay."""
    tag: str = ""
    former_tag_digest: str | None = None
    """What the tag named before; it names that again once the push is undone."""


class Images:
    """The registries as jobs see them."""

    def __init__(self, registries: Registries, blobs: Blobs, signer: Signer) -> None:
        self._registries = registries
        self._blobs = blobs
        self._signer = signer

    async def publish(self, checkpoint: Checkpoint, target: ImageRef, registry: StoredRegistry) -> PushedImage:
        """Push a completed checkpoint to `target`. Repeated it gives the same digest; a failure undoes itself."""
        if checkpoint.blob_key is not None:
            return await self._push(checkpoint, checkpoint.blob_key, target, registry)
        source = location_of(checkpoint)
        if source is None:
            raise Conflict("The checkpoint's archive is nowhere", details=f"checkpoint {checkpoint.id}")
        return await self._copy(checkpoint, source, target, registry)

    async def addition(self, checkpoint: Checkpoint, target: ImageRef, registry: StoredRegistry) -> Addition:
        """What publishing it there would add; asked before that, it is what an undo has to take out."""
        manifests, blobs = await self._parts(checkpoint, target)
        async with open_registry(registry.access) as client:
            known, store = Manifests(client, target.repository), RegistryBlobs(client, target.repository)
            found = [each for each in manifests if await known.head(each) is not None]
            found += [each for each in blobs if await store.exists(parse_digest(each))]
            former = await known.head(target.tag, foreign=True) if target.tag else None
        return Addition(
            index=manifests[-1],
            layer=checkpoint.compressed_digest or "",
            manifests=[each for each in manifests if each not in found],
            blobs=[each for each in blobs if each not in found],
            found=found,
            tag=target.tag or "",
            former_tag_digest=former if former != manifests[-1] else None,
        )

    async def take_out(
        self, registry: StoredRegistry, repository: str, addition: Addition, *, keep: Collection[str]
    ) -> None:
        """Remove what a push had added but for the blobs to keep. Absent is as good."""
        kept = {*addition.found, *keep}
        async with open_registry(registry.access) as client:
            if addition.former_tag_digest is not None:
                # First of all: a registry deletes an index with the tags that name it.
                known = Manifests(client, repository)
                await put_tag_back(known, addition.tag, addition.former_tag_digest, ours=addition.manifests)
            if addition.index in addition.manifests:
                # Also what came with the image and lies beside it.
                await remove_image(client, repository, addition.index, layer=addition.layer, keep=kept)
            blobs = [each for each in addition.blobs if each not in kept]
            await undo_push(client, repository, blobs=blobs, manifests=addition.manifests)

    async def _parts(self, checkpoint: Checkpoint, target: ImageRef) -> tuple[list[str], list[str]]:
        """The digests of manifest and index, and those of the blobs."""
        if checkpoint.blob_key is not None:
            facts, goal = facts_of(checkpoint), _goal(checkpoint, target)
            image = build_image(
                facts, annotations=goal.annotations, architecture=goal.architecture, created=goal.created
            )
            return [image.manifest.digest, image.index.digest], [facts.compressed_digest, image.config.digest]
        source = location_of(checkpoint)
        if source is None:
            raise Conflict("The checkpoint's archive is nowhere", details=f"checkpoint {checkpoint.id}")
        origin = await self._registries.get(source.registry_name)
        async with open_registry(origin.access) as client:
            documents, blobs = await image_parts(client, source.repository, source.digest)
        return documents[::-1], blobs

    async def _push(
        self, checkpoint: Checkpoint, blob_key: str, target: ImageRef, registry: StoredRegistry
    ) -> PushedImage:
        goal = replace(_goal(checkpoint, target), signing=Signing(self._signer, checkpoint.key))
        async with open_registry(registry.access) as client:
            return await push_image(client, facts_of(checkpoint), goal, layer=lambda: self._blobs.get(blob_key))

    async def _copy(
        self, checkpoint: Checkpoint, source: ImageLocation, target: ImageRef, registry: StoredRegistry
    ) -> PushedImage:
        """The very same image elsewhere, so that a checkpoint's image has one digest wherever it is."""
        origin = await self._registries.get(source.registry_name)
        async with open_registry(origin.access) as reader, open_registry(registry.access) as writer:
            return await copy_image(
                Place(reader, source.repository),
                source.digest,
                Place(writer, target.repository),
                target.tag or "latest",
                signing=Signing(self._signer, checkpoint.key),
            )

    async def remove(self, location: ImageLocation, layer: str, others: Sequence[Checkpoint]) -> None:
        """Index, manifest, signatures and the blobs that none of the others there needs. Absent is as good."""
        if any(each.image_digest == location.digest for each in others):
            return
        registry = await self._registries.get(location.registry_name)
        shared = {each.compressed_digest for each in others if each.compressed_digest}
        async with open_registry(registry.access) as client:
            await remove_image(client, location.repository, location.digest, layer=layer, keep=shared)

    @asynccontextmanager
    async def layer_of(self, checkpoint: Checkpoint) -> AsyncIterator[AsyncIterator[bytes]]:
        """The compressed archive, from wherever it is."""
        if checkpoint.blob_key is not None:
            yield self._blobs.get(checkpoint.blob_key)
            return
        location = location_of(checkpoint)
        if location is None or checkpoint.compressed_digest is None:
            raise Conflict("The checkpoint's archive is nowhere", details=f"checkpoint {checkpoint.id}")
        registry = await self._registries.get(location.registry_name)
        async with open_registry(registry.access) as client:
            blobs = RegistryBlobs(client, location.repository)
            async with blobs.open(parse_digest(checkpoint.compressed_digest)) as chunks:
                yield chunks


def _goal(checkpoint: Checkpoint, target: ImageRef) -> ImageTarget:
    return ImageTarget(
        repository=target.repository,
        tag=target.tag or checkpoint.id,
        annotations=checkpoint.key,
        architecture=checkpoint.key[ARCHITECTURE],
        created=checkpoint.created_at,
    )


async def image_locations(jobs: JobLog, checkpoint_id: str) -> list[ImageLocation]:
    """Every image of the checkpoint: that of its making and those of later pushes, each place once."""
    found: dict[tuple[str, str], ImageLocation] = {}
    wanted = JobFilter(status=JobStatus.COMPLETED, checkpoint_id=checkpoint_id, limit=10_000)
    for job in await jobs.list(wanted):
        result = job.result or {}
        if result.get("digest"):
            location = ImageLocation(result["registry"], result["image"], result["digest"])
            found[location.image.rpartition(":")[0], location.digest] = location
    return list(found.values())


def location_of(checkpoint: Checkpoint) -> ImageLocation | None:
    """Where the checkpoint's own image is, if it has one."""
    if checkpoint.image is None or checkpoint.image_digest is None or checkpoint.registry_name is None:
        return None
    return ImageLocation(checkpoint.registry_name, checkpoint.image, checkpoint.image_digest)


def facts_of(checkpoint: Checkpoint) -> ArchiveFacts:
    """What was written down of a completed checkpoint's archive."""
    if (
        checkpoint.size_bytes is None
        or checkpoint.archive_digest is None
        or checkpoint.compressed_bytes is None
        or checkpoint.compressed_digest is None
    ):
        raise Conflict("The checkpoint is not complete", details=f"checkpoint {checkpoint.id} is {checkpoint.status}")
    return ArchiveFacts(
        size_bytes=checkpoint.size_bytes,
        digest=checkpoint.archive_digest,
        compressed_bytes=checkpoint.compressed_bytes,
        compressed_digest=checkpoint.compressed_digest,
        annotations=checkpoint.archive_annotations,
    )
