"""Copying a checkpoint image byte for byte: to another repository of the same registry, or to another registry.

Blobs are mounted where the registry is the same, else streamed through; the digests stay what they were, and so its
signatures stay valid and come along. A copy that fails takes out what it had put in.
"""

import asyncio
from dataclasses import dataclass

from ksnap.errors import KsnapError
from ksnap.model.checkpoint_image import PushedImage
from ksnap.model.digest import parse_digest
from ksnap.oci.checkpoint_image import INDEX_TYPE, Document
from ksnap.oci.parse import Descriptor, parse_index, parse_manifest
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryClient
from ksnap.registry.image_push import PushRecord, note_tag, open_upload, undo_push
from ksnap.registry.manifests import Manifests, StoredManifest
from ksnap.registry.signatures import Signing, copy_signatures, find_signatures, push_signature


@dataclass(frozen=True, slots=True)
class Place:
    """A repository of a registry."""

    client: RegistryClient
    repository: str


async def copy_image(
    source: Place, digest: str, target: Place, tag: str, *, signing: Signing | None = None
) -> PushedImage:
    """Copy an index with its manifest, blobs and signatures. Repeated, it finds everything already there.

    With `signing`, an image that this signer has not signed yet (pushed before there was a key) is signed on its way.
    """
    origin = Manifests(source.client, source.repository)
    index = await origin.get(digest)
    manifest = await _manifest_of(origin, index)
    content = parse_manifest(manifest.data)
    copied = PushRecord()
    try:
        for blob in (*content.layers, content.config):
            await _copy_blob(source, target, blob, copied)
        signature = await _copy_signatures(source, target, index, signing, copied)
        await _put(Manifests(target.client, target.repository), (manifest, index), tag, copied)
    except BaseException:
        await _undone(target, tag, copied)
        raise
    return PushedImage(
        host=target.client.access.host,
        repository=target.repository,
        tag=tag,
        digest=index.digest,
        manifest_digest=manifest.digest,
        config_digest=content.config.digest,
        signature_digest=signature,
        blobs=copied.blobs,
    )


async def _manifest_of(origin: Manifests, index: StoredManifest) -> StoredManifest:
    if index.media_type != INDEX_TYPE:
        return index
    return await origin.get(parse_index(index.data).manifests[0].digest)


async def _copy_blob(source: Place, target: Place, blob: Descriptor, copied: PushRecord) -> None:
    store = Blobs(target.client, target.repository)
    if await store.exists(blob.digest):
        return
    copied.blob_pushed(blob.digest)
    if source.client.base == target.client.base and await store.mount(blob.digest, source=source.repository):
        return
    async with (
        open_upload(store, PushRecord()) as upload,
        Blobs(source.client, source.repository).open(blob.digest) as chunks,
    ):
        await store.put_whole(upload.location, chunks, digest=blob.digest, size=blob.size)


async def _copy_signatures(
    source: Place, target: Place, index: StoredManifest, signing: Signing | None, copied: PushRecord
) -> str:
    """The signature manifest's digest there; empty if there is none. Before the tag, as in a push."""
    await copy_signatures((source.client, source.repository), (target.client, target.repository), index.digest, copied)
    if signing is not None:
        return await push_signature(target.client, target.repository, index.digest, signing, copied)
    found = await find_signatures(target.client, target.repository, index.digest)
    return found.digest if found is not None else ""


async def _put(manifests: Manifests, documents: tuple[StoredManifest, ...], tag: str, copied: PushRecord) -> None:
    """Manifest, index, and the tag last."""
    for stored in documents:
        if await manifests.head(stored.digest) is None:
            copied.manifest_pushed(stored.digest)
            await manifests.put(_document(stored), stored.digest)
    note_tag(copied, await manifests.head(tag, foreign=True), documents[-1].digest)
    await manifests.put(_document(documents[-1]), tag)


async def _undone(target: Place, tag: str, copied: PushRecord) -> None:
    """Take out what is in; the failure that brought us here is what gets reported."""
    try:
        async with asyncio.timeout(target.client.timeouts.cleanup_s):
            await undo_push(
                target.client,
                target.repository,
                blobs=copied.blobs,
                manifests=copied.manifests,
                tag=tag,
                former_tag_digest=copied.former_tag_digest,
            )
    except (KsnapError, TimeoutError):
        return


def _document(stored: StoredManifest) -> Document:
    return Document(stored.media_type, stored.data, parse_digest(stored.digest))
