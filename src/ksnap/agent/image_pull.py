"""One image from its registry into its folder, in one pass over the bytes (decision 7).

Read, decompress, check member by member, hash, write: the event loop receives, a thread does the rest, between them
stands a short queue; memory is constant however well an archive was compressed. Verified are the digests of the
index, of all it leads to, of the layer as it came and of the archive in it. What fails leaves nothing behind.
"""

import asyncio
import errno
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import zstandard

from ksnap.agent.archive_source import CHUNK_BYTES, in_thread
from ksnap.agent.image_store import CachedImage, ImageStore, Room
from ksnap.agent.image_writer import ImageWriter
from ksnap.criu.tar_header import bad_archive
from ksnap.criu.unpacking import ArchiveUnpacker
from ksnap.errors import (
    ImageUntrusted,
    InsufficientStorage,
    InvalidInput,
    KsnapError,
    NotPermitted,
    RegistryConnectionFailed,
    TooLarge,
)
from ksnap.model.checkpoint_key import Workload
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.oci.checkpoint_image import INDEX_TYPE
from ksnap.oci.parse import (
    Descriptor,
    ParsedConfig,
    ParsedIndex,
    checkpoint_layer,
    parse_config,
    parse_index,
    parse_manifest,
)
from ksnap.oci.signature import SignedClaims
from ksnap.oci.signing_keys import VerifyingKey, parse_public_keys
from ksnap.oci.zstd_blocks import BlockCutter
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryClient, RegistryTimeouts, open_registry
from ksnap.registry.failures import first_failure
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import verified_claims

# Chunks between the socket and the thread: enough to ride out a hiccup of either side.
_QUEUE_DEPTH = 4
# Plain pieces that may wait to be hashed while the next ones are decompressed and written.
_HASH_BEHIND = 3
# Cuts of at most 1 MiB plain each that a thread does in one step.
_CUTS_PER_STEP = 4
# zstd at the level of our images needs 2 MiB; 8 MiB is what RFC 8878 (3.1.1.1.2) asks of every decoder.
_MAX_WINDOW = 8 << 20
_MAX_CONFIG = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image can be had: by digest, and the account for it. Kept in memory only, and only while pulling."""

    image: ImageRef
    access: RegistryAccess
    public_keys: str = ""
    """PEM of keys of which one may have signed it, beside those that the node itself trusts; where there is none of
    either, nobody asks for a signature."""
    workload: Workload | None = None
    """Wanted for this workload alone, by a key that the node trusts: another one's memory is not even pulled."""

    @property
    def digest(self) -> Digest:
        if self.image.digest is None:
            raise InvalidInput("The image is not named by its digest", details=str(self.image))
        return self.image.digest


@dataclass(slots=True)
class PullProgress:
    """How far a pull is; read by whoever wants to know."""

    bytes_done: int = 0
    """Of the layer as it comes."""
    bytes_total: int | None = None
    fetch_s: float = 0.0
    """Spent waiting for the registry."""
    unpack_s: float = 0.0
    """Spent on everything else."""


@dataclass(frozen=True, slots=True)
class _Documents:
    index: ParsedIndex
    config: ParsedConfig
    layer: Descriptor


async def pull_image(
    source: ImageSource,
    store: ImageStore,
    progress: PullProgress,
    *,
    trusted: Sequence[VerifyingKey] = (),
    timeouts: RegistryTimeouts | None = None,
) -> CachedImage:
    """The image in the store, whole and verified; else a KsnapError, and nothing of it is left. Of one that is there
    already only the signature is fetched."""
    progress.bytes_done, progress.bytes_total = 0, None
    begun = time.monotonic()
    async with open_registry(source.access, timeouts=timeouts) as client:
        if (there := store.get(source.digest)) is not None:
            if (said := await _verified(client, source, trusted)) is not None:
                await store.vouch(there, said)
            return there
        documents = await _read_documents(client, source)
        # Before the first byte of memory comes.
        claims = await _verified(client, source, trusted)
        progress.bytes_total = documents.layer.size
        progress.fetch_s += time.monotonic() - begun
        async with store.room() as room:
            # What the layer unpacks to is not known; so much it is at least, and is not downloaded in vain.
            await room.reach(documents.layer.size, at_once=True)
            return await _Pulling(client, source, documents, claims, store, room, progress).run()


async def _verified(
    client: RegistryClient, source: ImageSource, trusted: Sequence[VerifyingKey]
) -> SignedClaims | None:
    """What a trusted key says of the image: one of the node's own before one that came with the request. None where
    there is no key to ask by."""
    handed = await asyncio.to_thread(parse_public_keys, source.public_keys) if source.public_keys else ()
    if source.workload is None and not trusted and not handed:
        return None
    repository = source.image.repository
    try:
        claims = await verified_claims(client, repository, source.digest, trusted or handed)
    except ImageUntrusted:
        if not (trusted and handed):
            raise
        claims = await verified_claims(client, repository, source.digest, handed)
    if source.workload is not None and claims.key.workload != source.workload:
        raise not_of(source.workload, source.image)
    return claims


def not_of(workload: Workload, image: ImageRef) -> NotPermitted:
    """The refusal of a workload that wants another one's memory. Whose it is, is none of its business."""
    return NotPermitted("The image is of another workload", details=f"{image} is not signed for {workload}")


async def _read_documents(client: RegistryClient, source: ImageSource) -> _Documents:
    """Index, manifest and configuration, each by its digest."""
    manifests = Manifests(client, source.image.repository)
    found = await manifests.get(source.digest)
    if found.media_type != INDEX_TYPE:
        raise InvalidInput("Not a checkpoint image of ksnap", details="the digest is not an index's")
    index = parse_index(found.data)
    if len(index.manifests) != 1:
        raise InvalidInput("Not a checkpoint image of ksnap", details="its index has not exactly one manifest")
    manifest = parse_manifest((await manifests.get(index.manifests[0].digest)).data)
    layer = checkpoint_layer(manifest)
    config = parse_config(await _small_blob(client, source.image.repository, manifest.config))
    if len(config.diff_ids) != 1:
        raise InvalidInput("Not a checkpoint image of ksnap", details="its configuration has not exactly one layer")
    return _Documents(index, config, layer)


async def _small_blob(client: RegistryClient, repository: str, blob: Descriptor) -> bytes:
    data = bytearray()
    async with Blobs(client, repository).open(blob.digest) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) > _MAX_CONFIG:
                raise TooLarge("The image's configuration is too large", details=f"more than {_MAX_CONFIG} bytes")
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _Pulling:
    """The one pass over a layer."""

    client: RegistryClient
    source: ImageSource
    documents: _Documents
    claims: SignedClaims | None
    store: ImageStore
    room: Room
    progress: PullProgress

    async def run(self) -> CachedImage:
        with _disk_errors():
            writer = await in_thread(lambda: ImageWriter(self.store.folder, self.source.digest))
        image = CachedImage(
            digest=self.source.digest,
            path=writer.path,
            size_bytes=0,
            repository=f"{self.source.image.host}/{self.source.image.repository}",
            architecture=self.documents.config.architecture,
            annotations=dict(self.documents.index.annotations),
            signed=dict(self.claims.annotations) if self.claims is not None else {},
            signed_by=self.claims.key_id if self.claims is not None else "",
        )
        unpacking = _Unpacking(writer)
        try:
            with _disk_errors():
                await self._stream(unpacking)
                begun = time.monotonic()
                await in_thread(lambda: unpacking.finish(self.documents.config.diff_ids[0]))
                await self.room.reach(writer.size_bytes, at_once=True)
                await in_thread(lambda: writer.finish(_description(image)))
                self.progress.unpack_s += time.monotonic() - begun
        finally:
            await in_thread(unpacking.close)
            if writer.finished:
                # Also if it was cancelled at that very moment: it is there.
                image.size_bytes = writer.size_bytes
                self.store.add(image)
            else:
                await in_thread(writer.discard)
        return image

    async def _stream(self, unpacking: "_Unpacking") -> None:
        """The layer through the thread: receiving goes on while it works."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_DEPTH)
        async with first_failure(), asyncio.TaskGroup() as group:
            group.create_task(self._fetch(queue))
            async for chunk in self._received(queue):
                begun = time.monotonic()
                more = await in_thread(partial(unpacking.feed, chunk))
                while more:
                    await self.room.reach(unpacking.written_bytes)
                    more = await in_thread(unpacking.step)
                await self.room.reach(unpacking.written_bytes)
                self.progress.unpack_s += time.monotonic() - begun

    async def _fetch(self, queue: asyncio.Queue[bytes | None]) -> None:
        repository, layer = self.source.image.repository, self.documents.layer
        # Joined, so that a thread is not called for every few kilobytes.
        joined = bytearray()
        async with Blobs(self.client, repository).open(layer.digest) as chunks:
            async for chunk in chunks:
                self.progress.bytes_done += len(chunk)
                if self.progress.bytes_done > layer.size:
                    raise RegistryConnectionFailed(
                        f"Registry {self.client.access.host} sent wrong bytes",
                        details=f"{repository}@{layer.digest}: more than its {layer.size} bytes",
                    )
                joined += chunk
                if len(joined) >= CHUNK_BYTES:
                    await queue.put(bytes(joined))
                    joined.clear()
        if joined:
            await queue.put(bytes(joined))
        await queue.put(None)

    async def _received(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        while True:
            begun = time.monotonic()
            chunk = await queue.get()
            self.progress.fetch_s += time.monotonic() - begun
            if chunk is None:
                return
            yield chunk


def _description(image: CachedImage) -> dict[str, object]:
    """The fields of `image.json`, less the size, which the writer knows."""
    return {
        "digest": image.digest,
        "repository": image.repository,
        "architecture": image.architecture,
        "annotations": image.annotations,
        "signed": image.signed,
        "signed_by": image.signed_by,
        "unpacked_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


class _Unpacking:
    """What a thread does with the layer's bytes. Hashing has a thread of its own: it takes as long as all the rest."""

    def __init__(self, writer: ImageWriter) -> None:
        self._writer = writer
        self._cutter = BlockCutter()
        self._cuts: deque[bytes] = deque()
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj(
            read_across_frames=True
        )
        self._unpacker = ArchiveUnpacker()
        self._hash = hashlib.sha256()
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._unhashed: deque[Future[None]] = deque()

    @property
    def written_bytes(self) -> int:
        return self._writer.size_bytes

    def feed(self, chunk: bytes) -> bool:
        """Take the next compressed bytes; True if there is more to do with them, by `step`."""
        with _damage_told():
            self._cuts.extend(self._cutter.feed(chunk))
        return self.step()

    def step(self) -> bool:
        """A bounded part of what is there to do: a few compressed bytes may stand for gigabytes."""
        for _ in range(min(len(self._cuts), _CUTS_PER_STEP)):
            self._take(self._cuts.popleft())
        return bool(self._cuts)

    def finish(self, diff_id: Digest) -> None:
        """The end of the layer: whole, and the archive that its image's configuration names."""
        with _damage_told():
            rest = self._cutter.finish()
        if rest:
            self._take(rest)
        self._unpacker.finish()
        self._wait_for_hashes(0)
        if f"sha256:{self._hash.hexdigest()}" != diff_id:
            raise bad_archive(f"the archive is not the one that its image names: its digest is not {diff_id}")

    def close(self) -> None:
        self._hashing.shutdown()

    def _take(self, cut: bytes) -> None:
        with _damage_told():
            plain = self._decompressor.decompress(cut)
        if not plain:
            return
        self._unhashed.append(self._hashing.submit(self._hash.update, plain))
        self._writer.take(self._unpacker.feed(plain))
        self._wait_for_hashes(_HASH_BEHIND)

    def _wait_for_hashes(self, left: int) -> None:
        """Memory is constant only if hashing keeps up."""
        while len(self._unhashed) > left:
            self._unhashed.popleft().result()


@contextmanager
def _damage_told() -> Iterator[None]:
    """zstd's refusal as ours."""
    try:
        yield
    except (zstandard.ZstdError, InvalidInput) as error:
        raise RegistryConnectionFailed(
            "The image's layer cannot be decompressed",
            details=str(error),
            hint="The stored image is damaged; make a new checkpoint",
        ) from error


@contextmanager
def _disk_errors() -> Iterator[None]:
    """The disk's refusal as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise InsufficientStorage(
                "The node's disk is full", details="while an image was unpacked", hint="Free disk on the node"
            ) from error
        raise KsnapError(
            "The agent cannot write the image",
            details=error.strerror or type(error).__name__,
            hint="Check the node's disk, and that the agent's state folder is writable",
        ) from error
