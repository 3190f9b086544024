"""Pushing a checkpoint image: layer, configuration, signature, manifest, index, and the tag last.

Until the tag is written nobody finds the image; afterwards the registry is asked for the index by its digest. The
signature is there before the tag, so that nothing a tag names is unsigned (where somebody signs: `Signing`). What a
push put into the registry is told to a `PushLog` before it is put there, so that a crash leaves nothing unknown, and
`undo_push` takes it out again.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from ksnap.errors import ImagePushFailed, KsnapError, NotFound
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.digest import parse_digest
from ksnap.oci.checkpoint_image import CheckpointImage, Document, build_image
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryClient
from ksnap.registry.failures import first_failure
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import Signing, push_signature


class PushLog(Protocol):
    """Who remembers what a push has put into a registry: the agent's journal."""

    def upload_started(self, location: str) -> None:
        """An upload exists at this address; it must be finished or cancelled."""

    def upload_ended(self, location: str) -> None:
        """It is."""

    def blob_pushed(self, digest: str) -> None:
        """This blob was not there before."""

    def manifest_pushed(self, digest: str) -> None:
        """This manifest or index was not there before."""

    def tag_found(self, digest: str) -> None:
        """The tag named this until now; an undo puts it back."""


@dataclass(slots=True)
class PushRecord:
    """What one push has put into a registry so far; told to `log` as well."""

    log: PushLog | None = None
    blobs: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    former_tag_digest: str | None = None

    def upload_started(self, location: str) -> None:
        if self.log is not None:
            self.log.upload_started(location)

    def upload_ended(self, location: str) -> None:
        if self.log is not None:
            self.log.upload_ended(location)

    def blob_pushed(self, digest: str) -> None:
        if digest not in self.blobs:
            self.blobs.append(digest)
        if self.log is not None:
            self.log.blob_pushed(digest)

    def manifest_pushed(self, digest: str) -> None:
        if digest not in self.manifests:
            self.manifests.append(digest)
        if self.log is not None:
            self.log.manifest_pushed(digest)

    def tag_found(self, digest: str) -> None:
        self.former_tag_digest = digest
        if self.log is not None:
            self.log.tag_found(digest)


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """Where an image goes and what it says of itself."""

    repository: str
    tag: str
    annotations: Mapping[str, str]
    """Beyond those of the archive: the checkpoint key."""
    architecture: str
    created: datetime
    signing: Signing | None = None
    """Who signs it, and what is said of it. None (an older server sends no key): it stays unsigned."""


LayerSource = Callable[[], AsyncIterable[bytes]]
"""Opens the compressed archive from its start; called again for a repeated push."""


async def push_image(
    client: RegistryClient,
    facts: ArchiveFacts,
    target: ImageTarget,
    *,
    layer: LayerSource,
    mount_from: str | None = None,
    log: PushLog | None = None,
) -> PushedImage:
    """Push the image of a stored archive whose facts are known. Repeated, it finds everything already there.

    A failure is undone here, unless a log remembers what there is to undo.
    """
    record = PushRecord(log)
    try:
        await _push_layer(Blobs(client, target.repository), facts, layer, mount_from, record)
        return await push_documents(client, facts, target, record)
    except BaseException:
        if log is None:
            await _undo_quietly(client, target, record)
        raise


async def push_documents(
    client: RegistryClient, facts: ArchiveFacts, target: ImageTarget, record: PushRecord
) -> PushedImage:
    """Push everything above a layer that is in the repository already, then confirm the index by its digest."""
    image = build_image(facts, annotations=target.annotations, architecture=target.architecture, created=target.created)
    blobs, manifests = Blobs(client, target.repository), Manifests(client, target.repository)
    async with first_failure(), asyncio.TaskGroup() as group:
        group.create_task(blobs.put_new(image.config.data, image.config.digest, told=record.blob_pushed))
        signature = group.create_task(_push_signature(client, image.index, target, record))
        known = [group.create_task(manifests.head(each.digest)) for each in (image.manifest, image.index)]
        former = group.create_task(manifests.head(target.tag, foreign=True))
    for document, found in zip((image.manifest, image.index), known, strict=True):
        if found.result() is None:
            record.manifest_pushed(document.digest)
    await manifests.put(image.manifest, image.manifest.digest)
    note_tag(record, former.result(), image.index.digest)
    # This stores the index and moves the tag in one step.
    await manifests.put(image.index, target.tag)
    await _confirm(client, manifests, image.index, target)
    return _pushed(client, target, image, record, signature.result())


def note_tag(record: PushRecord, former: str | None, digest: str) -> None:
    """Before a tag is moved to `digest`: remember what it named."""
    if former is not None and former != digest:
        record.tag_found(former)


@dataclass(slots=True)
class Upload:
    """An upload under way. A registry gives it a new address after each request; only the newest one works."""

    location: str


@asynccontextmanager
async def open_upload(blobs: Blobs, record: PushRecord) -> AsyncIterator[Upload]:
    """An upload that the block finishes or cancels; after an error it is cancelled here, as far as a registry can.

    What a broken connection left cannot be cancelled with some registries (docker-registry 2.8 refuses an address
    that does not know how many bytes came); they purge such uploads by themselves.
    """
    started = await blobs.start_upload()
    record.upload_started(started)
    upload = Upload(started)
    try:
        yield upload
    except BaseException:
        if await blobs.cancel_quietly(upload.location):
            record.upload_ended(started)
        raise
    record.upload_ended(started)


async def undo_push(
    client: RegistryClient,
    repository: str,
    *,
    uploads: Sequence[str] = (),
    blobs: Sequence[str] = (),
    manifests: Sequence[str] = (),
    tag: str = "",
    former_tag_digest: str | None = None,
) -> None:
    """Take out what a push put in: index and manifest first, since they refer to the blobs. Idempotent.

    What `tag` named before the push gets it back, first of all: a registry deletes an index with the tags that name it,
    and an image without a tag is soon collected.
    All of it is tried, whatever fails; the first failure is raised in the end. An upload is none: registries purge
    what is left of one.
    """
    store, index = Blobs(client, repository), Manifests(client, repository)
    back = [partial(put_tag_back, index, tag, former_tag_digest, ours=manifests)] if tag and former_tag_digest else []
    steps: list[Callable[[], Awaitable[object]]] = [
        *back,
        *(partial(store.cancel_quietly, location) for location in uploads),
        *(partial(index.delete, parse_digest(digest)) for digest in reversed(manifests)),
        *(partial(store.delete, parse_digest(digest)) for digest in blobs),
    ]
    failure: KsnapError | None = None
    for step in steps:
        try:
            await step()
        except KsnapError as error:
            failure = failure or error
    if failure is not None:
        raise failure


async def _push_signature(client: RegistryClient, index: Document, target: ImageTarget, record: PushRecord) -> str:
    """The signature manifest's digest. It is recorded before manifest and index, and so undone after them."""
    if target.signing is None:
        return ""
    return await push_signature(client, target.repository, index.digest, target.signing, record)


async def put_tag_back(manifests: Manifests, tag: str, former: str, *, ours: Sequence[str]) -> None:
    """Let the tag name what it named before; unless somebody else has moved it since, or that image is gone."""
    named = await manifests.head(tag, foreign=True)
    if named is not None and named not in ours:
        return
    try:
        stored = await manifests.get(former, foreign=True)
    except NotFound:
        return
    await manifests.put(Document(stored.media_type, stored.data, stored.digest), tag)


async def _undo_quietly(client: RegistryClient, target: ImageTarget, record: PushRecord) -> None:
    """Within a deadline of its own; the failure that led here is what gets reported."""
    try:
        async with asyncio.timeout(client.timeouts.cleanup_s):
            await undo_push(
                client,
                target.repository,
                blobs=record.blobs,
                manifests=record.manifests,
                tag=target.tag,
                former_tag_digest=record.former_tag_digest,
            )
    except (KsnapError, TimeoutError):
        return


async def _push_layer(
    blobs: Blobs, facts: ArchiveFacts, layer: LayerSource, mount_from: str | None, record: PushRecord
) -> None:
    digest = parse_digest(facts.compressed_digest)
    if await blobs.exists(digest):
        return
    record.blob_pushed(digest)
    if mount_from is not None and await blobs.mount(digest, source=mount_from):
        return
    async with open_upload(blobs, record) as upload:
        await blobs.put_whole(upload.location, layer(), digest=digest, size=facts.compressed_bytes)


async def _confirm(client: RegistryClient, manifests: Manifests, index: Document, target: ImageTarget) -> None:
    if await manifests.head(index.digest) == index.digest:
        return
    raise ImagePushFailed(
        f"Registry {client.access.host} does not show the pushed image",
        details=f"{target.repository}@{index.digest} is not there after the push",
        hint="Check whether the registry cleans up while images are pushed, then try again",
    )


def _pushed(
    client: RegistryClient, target: ImageTarget, image: CheckpointImage, record: PushRecord, signature: str
) -> PushedImage:
    return PushedImage(
        host=client.access.host,
        repository=target.repository,
        tag=target.tag,
        digest=image.index.digest,
        manifest_digest=image.manifest.digest,
        config_digest=image.config.digest,
        signature_digest=signature,
        blobs=list(record.blobs),
    )
