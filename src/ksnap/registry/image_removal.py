"""Removing a checkpoint image: the index first, so that no tag names a part of one, then manifest, signature, blobs.

What is absent is as good as removed. A removal that was interrupted after the index cannot read any more what lay
below it; hence the caller names the layer, which is nearly all of the bytes. All goes by digest: a tag that names
another image by now (a later checkpoint of the same workload) stays as it is.
"""

from collections.abc import Collection

from ksnap.errors import NotFound
from ksnap.model.digest import parse_digest
from ksnap.oci.checkpoint_image import INDEX_TYPE
from ksnap.oci.parse import parse_index, parse_manifest
from ksnap.registry.client import RegistryClient
from ksnap.registry.image_push import undo_push
from ksnap.registry.manifests import Manifests, StoredManifest
from ksnap.registry.signatures import find_signatures, parts_of


async def remove_image(
    client: RegistryClient, repository: str, digest: str, *, layer: str, keep: Collection[str] = ()
) -> None:
    """Remove the image of an index (or manifest), its signatures, and its blobs, but for the digests to keep."""
    documents, blobs = await image_parts(client, repository, digest)
    signatures = await find_signatures(client, repository, parse_digest(digest))
    if signatures is not None and (parts := parts_of(signatures)):
        documents.append(signatures.digest)
        blobs += parts
    gone = sorted({layer, *blobs} - set(keep))
    # undo_push deletes the last manifest first.
    await undo_push(client, repository, blobs=gone, manifests=[each for each in documents[::-1] if each not in keep])


async def image_parts(client: RegistryClient, repository: str, digest: str) -> tuple[list[str], list[str]]:
    """The digests of an index (or manifest), which stands first, and of the manifests below it; and those of the blobs.

    Of what is absent only the digest that was asked for.
    """
    manifests = Manifests(client, repository)
    documents, blobs = [digest], set[str]()
    top = await _found(manifests, digest)
    below = parse_index(top.data).manifests if top is not None and top.media_type == INDEX_TYPE else ()
    documents += [each.digest for each in below]
    for stored in (top, *[await _found(manifests, each.digest) for each in below]):
        if stored is not None and stored.media_type != INDEX_TYPE:
            content = parse_manifest(stored.data)
            blobs |= {content.config.digest, *(each.digest for each in content.layers)}
    return documents, sorted(blobs)


async def _found(manifests: Manifests, digest: str) -> StoredManifest | None:
    try:
        return await manifests.get(digest)
    except NotFound:
        return None
