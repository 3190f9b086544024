"""Checkpoint images in a registry, made of any archive, also of one that no agent would push.

image = await push_tar(registry.access, repository, small_archive())     # ImageRef, by digest
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import zstandard

from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.model.digest import Digest, parse_digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget, push_image
from ksnap.registry.signatures import Signing
from tests.parties.archives import END, Member, criu_images, documents

CREATED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ANNOTATIONS = {"ksnap.dev/key": "k", "ksnap.dev/namespace": "demo"}


async def push_tar(access: RegistryAccess, repository: str, tar: bytes, **changes: object) -> ImageRef:
    """Push these very bytes as an image's archive."""
    return await push_layer(
        access,
        repository,
        zstandard.ZstdCompressor(level=3).compress(tar),
        digest=f"sha256:{hashlib.sha256(tar).hexdigest()}",
        size_bytes=len(tar),
        signing=None,
        **changes,
    )


async def push_zeros(access: RegistryAccess, repository: str, *, gib: int, signing: Signing | None = None) -> ImageRef:
    """Push a whole archive with so much memory that is nothing but zeros: 33 kB for each GiB.

    zstd takes frames one after the other (RFC 8878, 3): the same one for each GiB. Nobody has hashed so much, so the
    archive's digest is a lie; who gets as far as to notice has unpacked all of it.
    """
    compressor = zstandard.ZstdCompressor(level=3)
    members = [*criu_images(), *documents(), Member("checkpoint/pages-1.img", size=gib << 30)]
    head = compressor.compress(b"".join(each.encode() for each in members))
    packing = compressor.compressobj()
    one = b"".join(packing.compress(bytes(1 << 24)) for _ in range(64)) + packing.flush()
    layer = head + one * gib + compressor.compress(END)
    return await push_layer(access, repository, layer, digest=f"sha256:{'1' * 64}", signing=signing)


async def push_layer(
    access: RegistryAccess,
    repository: str,
    layer: bytes,
    *,
    digest: str,
    size_bytes: int = 0,
    signing: Signing | None = None,
    **changes: object,
) -> ImageRef:
    """Push a layer that claims to be the archive of this digest. `changes` are fields of its facts that lie. Signed, it
    says of itself what its signature says."""
    facts = ArchiveFacts(
        size_bytes=size_bytes,
        digest=digest,
        compressed_bytes=len(layer),
        compressed_digest=f"sha256:{hashlib.sha256(layer).hexdigest()}",
        annotations={"org.criu.checkpoint.container.name": "webapp"},
    ).model_copy(update=changes)

    async def source() -> AsyncIterator[bytes]:
        for at in range(0, len(layer), 1 << 20):
            yield layer[at : at + (1 << 20)]

    async with open_registry(access) as client:
        said = signing.annotations if signing else ANNOTATIONS
        target = ImageTarget(repository, "one", said, "x86_64", CREATED, signing)
        pushed = await push_image(client, facts, target, layer=source)
    return ImageRef(access.host, repository, digest=parse_digest(pushed.digest))


def digest_of(image: ImageRef) -> Digest:
    assert image.digest is not None
    return image.digest
