"""Garbage: archives in the blob store and images in registries that no checkpoint's record names any more.

Left by what no undo could reach: a registry that was away for good, a database that was put back to an earlier day.
For that last reason nothing of it goes by itself: it is listed, and removed when somebody asks. Of an image it counts
only if this installation's own key signed it: another installation may use the same repository.
"""

import json
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog
from sqlalchemy import select

from ksnap.checkpoints.job_log import JobStatus
from ksnap.checkpoints.names import blob_name
from ksnap.checkpoints.records import CheckpointStatus
from ksnap.configuration.registries import Registries
from ksnap.errors import ImageUntrusted, KsnapError, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.model.image import parse_image
from ksnap.oci.checkpoint_image import CREATED, INDEX_TYPE
from ksnap.oci.signing_keys import SigningKey
from ksnap.registry.client import RegistryClient, open_registry
from ksnap.registry.image_removal import remove_image
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import verified_claims
from ksnap.registry.tags import tags_of
from ksnap.store.blobs import Blobs
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job

# What is being made has no record that names it yet; nothing takes so long.
YOUNG = timedelta(days=1)
FOLDER = "archives"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that nobody names."""

    kind: Literal["blob", "image"]
    name: str
    """The blob's name, or host/repository@digest."""
    size_bytes: int | None
    made_at: datetime | None
    registry: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    garbage: list[Garbage]
    problems: list[str]
    """Where could not be looked, and why."""


@dataclass(frozen=True, slots=True)
class Removed:
    removed: list[Garbage]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Collector:
    """Finds and removes garbage."""

    database: Database
    blobs: Blobs
    registries: Registries
    signing_key: SigningKey

    async def find(self) -> Found:
        """All of it, in the store and in every repository that a record or a job has ever named."""
        garbage = [each async for each in self._blobs()]
        problems: list[str] = []
        named = await self._named_digests()
        for registry_name, repository in await self._repositories():
            try:
                garbage += [each async for each in self._images(registry_name, repository, named)]
            except KsnapError as error:
                problems.append(f"{registry_name}/{repository}: {error.message}: {error.explanation}")
        return Found(garbage, problems)

    async def remove(self, by: Principal) -> Removed:
        """Look anew, and remove what is found."""
        found = await self.find()
        removed, problems = [], list(found.problems)
        for each in found.garbage:
            try:
                async with audited(self.database, by, "garbage_removed", each.name):
                    await self._remove(each)
            except KsnapError as error:
                problems.append(f"{each.name}: {error.message}: {error.explanation}")
            else:
                removed.append(each)
        log.info("garbage_removed", removed=len(removed), problems=len(problems))
        return Removed(removed, problems)

    async def _blobs(self) -> AsyncIterator[Garbage]:
        """Archives whose checkpoint is gone, or has its archive elsewhere, and is not being made now."""
        before = datetime.now(UTC) - YOUNG
        named = await self._named_blobs()
        async for each in self.blobs.list(FOLDER):
            if each.name not in named and each.modified_at < before:
                yield Garbage("blob", each.name, each.size_bytes, each.modified_at)

    async def _named_blobs(self) -> set[str]:
        query = select(Checkpoint.id, Checkpoint.blob_key, Checkpoint.status)
        async with self.database.reading() as session:
            rows = (await session.execute(query)).all()
        being_made = {blob_name(row.id) for row in rows if row.status == CheckpointStatus.RUNNING}
        return {row.blob_key for row in rows if row.blob_key is not None} | being_made

    async def _repositories(self) -> list[tuple[str, str]]:
        """Every registry and repository that images of ours were ever pushed to, as far as is remembered."""
        images = select(Checkpoint.registry_name, Checkpoint.image).where(Checkpoint.image.is_not(None))
        async with self.database.reading() as session:
            pairs = {(row.registry_name or "", row.image or "") for row in await session.execute(images)}
            results = [each for each in await session.scalars(select(Job.result)) if each]
        pairs |= {(str(each["registry"]), str(each["image"])) for each in results if each.get("digest")}
        return sorted({(registry, parse_image(image).repository) for registry, image in pairs if registry})

    async def _images(self, registry_name: str, repository: str, named: Collection[str]) -> AsyncIterator[Garbage]:
        registry = await self.registries.get(registry_name)
        async with open_registry(registry.access) as client:
            seen: set[str] = set()
            async for tag in tags_of(client, repository):
                digest = await Manifests(client, repository).head(tag)
                if digest is None or digest in named or digest in seen:
                    continue
                seen.add(digest)
                if (made_at := await self._is_ours(client, repository, digest)) is not None:
                    yield Garbage("image", f"{client.access.host}/{repository}@{digest}", None, made_at, registry_name)

    async def _named_digests(self) -> Collection[str]:
        """Digests of a checkpoint that is there, and of jobs that are running."""
        query = select(Checkpoint.id, Checkpoint.image_digest)
        async with self.database.reading() as session:
            rows = (await session.execute(query)).all()
            jobs = (await session.scalars(select(Job).where(Job.status != JobStatus.FAILED))).all()
        there = {row.id for row in rows}
        pushed = {str((job.result or {}).get("digest", "")) for job in jobs if job.checkpoint_id in there}
        return {row.image_digest for row in rows if row.image_digest is not None} | pushed

    async def _is_ours(self, client: RegistryClient, repository: str, digest: str) -> datetime | None:
        """When it was made, if it is an index that our key signed, and is not young."""
        try:
            stored = await Manifests(client, repository).get(digest)
            if stored.media_type != INDEX_TYPE:
                return None
            await verified_claims(client, repository, digest, [self.signing_key.public_key])
            made_at = datetime.fromisoformat(str(json.loads(stored.data)["annotations"][CREATED]))
        except (ImageUntrusted, NotFound, ValueError, KeyError, TypeError):
            return None
        return made_at if made_at < datetime.now(UTC) - YOUNG else None

    async def _remove(self, garbage: Garbage) -> None:
        if garbage.kind == "blob":
            await self.blobs.delete(garbage.name)
            return
        image = parse_image(garbage.name)
        registry = await self.registries.get(garbage.registry)
        kept = await self._layers()
        async with open_registry(registry.access) as client:
            await remove_image(client, image.repository, image.digest or "", layer="", keep={*kept, ""})

    async def _layers(self) -> set[str]:
        """Those of every checkpoint: an image in the same repository may share one."""
        query = select(Checkpoint.compressed_digest).where(Checkpoint.compressed_digest.is_not(None))
        async with self.database.reading() as session:
            return {each for each in await session.scalars(query) if each}
