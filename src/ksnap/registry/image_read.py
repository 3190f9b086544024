"""Reading a pushed checkpoint image back: its layer, and its archive as the plain tar, from any offset.

zstd has no random access: an offset is reached by decompressing what lies before it. Memory stays constant however
well an archive was compressed, see `ksnap.oci.zstd_blocks`.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import zstandard

from ksnap.errors import InvalidInput, RegistryConnectionFailed
from ksnap.model.digest import parse_digest
from ksnap.oci.checkpoint_image import INDEX_TYPE
from ksnap.oci.parse import Descriptor, checkpoint_layer, parse_index, parse_manifest
from ksnap.oci.zstd_blocks import BlockCutter
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryClient
from ksnap.registry.manifests import Manifests


async def find_layer(client: RegistryClient, repository: str, reference: str) -> Descriptor:
    """The layer of a checkpoint image, by tag or by the digest of its index or manifest."""
    manifests = Manifests(client, repository)
    found = await manifests.get(reference)
    if found.media_type == INDEX_TYPE:
        index = parse_index(found.data)
        if len(index.manifests) != 1:
            raise InvalidInput("Not a checkpoint image of ksnap", details="its index has not exactly one manifest")
        found = await manifests.get(index.manifests[0].digest)
    return checkpoint_layer(parse_manifest(found.data))


@asynccontextmanager
async def open_archive(
    client: RegistryClient, repository: str, layer_digest: str, *, offset: int = 0
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The plain tar of a layer, from `offset` on. The layer's digest is verified before its last bytes come."""
    async with Blobs(client, repository).open(parse_digest(layer_digest)) as packed:
        yield decompressed(packed, offset=offset)


async def decompressed(packed: AsyncIterable[bytes], *, offset: int = 0) -> AsyncIterator[bytes]:
    """A zstd stream as plain chunks of at most 512 KiB, from `offset` on."""
    cutter = BlockCutter()
    decompressor = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    skip = offset
    try:
        async for chunk in packed:
            for cut in cutter.feed(chunk):
                plain = await asyncio.to_thread(decompressor.decompress, cut)
                if skip < len(plain):
                    yield plain[skip:] if skip else plain
                skip = max(skip - len(plain), 0)
        if rest := decompressor.decompress(cutter.finish())[skip:]:
            yield rest
    except (zstandard.ZstdError, InvalidInput) as error:
        raise RegistryConnectionFailed(
            "The archive cannot be decompressed", details=str(error), hint="The stored image is damaged; push it again"
        ) from error
