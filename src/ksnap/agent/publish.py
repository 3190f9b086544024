"""The one pass over an archive's bytes (decision 7): read, check, hash, compress, hash, upload; constant memory.

A thread reads and packs while the event loop encrypts and sends; between them stands a short queue. Nothing is written
to disk. `push_archive` ends in a registry, `pack_archive` wherever its caller sends the compressed bytes (the server
that fetches an archive). A push that lost its connection is begun again from the archive, which is still there.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from ksnap.agent.archive_source import ArchiveSource, in_thread, open_source
from ksnap.criu.archive_rules import ArchiveLimits
from ksnap.criu.packing import ArchivePacker, PackedArchive, compression_threads
from ksnap.model.backoff import Backoff
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.digest import parse_digest
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.blobs import Blobs, StreamsRefused
from ksnap.registry.client import RegistryClient, RegistryTimeouts, open_registry
from ksnap.registry.failures import ConnectionLost, first_failure
from ksnap.registry.image_push import ImageTarget, PushLog, PushRecord, open_upload, push_documents

T = TypeVar("T")

Progress = Callable[[int, int | None], None]
"""Bytes of the archive read so far, and of how many (None: not known)."""

# Packed chunks between the thread and the socket: enough to ride out a hiccup of either side.
_QUEUE_DEPTH = 4
# For a registry to answer a request that was ended before its time.
_END_S = 10.0
_TRIES = Backoff(attempts=3, first_s=1.0)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """How an archive is read."""

    include_log: bool = False
    max_bytes: int = 1 << 40


async def push_archive(
    source: ArchiveSource,
    *,
    registry: RegistryAccess,
    target: ImageTarget,
    options: ArchiveOptions | None = None,
    progress: Progress | None = None,
    log: PushLog | None = None,
    timeouts: RegistryTimeouts | None = None,
) -> tuple[ArchiveFacts, PushedImage]:
    """Publish an archive: its layer streamed, then everything above it, the tag last, confirmed by digest."""
    record = PushRecord(log)
    reading = _Reading(source, options or ArchiveOptions(), progress)
    async with open_registry(registry, timeouts=timeouts) as client:
        blobs = Blobs(client, target.repository)
        facts = await _repeated(client, lambda: _push_layer(blobs, reading, record))
        return facts, await push_documents(client, facts, target, record)


async def pack_archive(
    source: ArchiveSource,
    consume: Callable[[AsyncIterator[bytes]], Awaitable[T]],
    *,
    options: ArchiveOptions | None = None,
    progress: Progress | None = None,
) -> tuple[PackedArchive, T]:
    """Pack an archive while `consume` takes the compressed bytes; the facts and its result once both are through.

    If packing fails, `consume` is cancelled before it has seen the end.
    """
    return await _Reading(source, options or ArchiveOptions(), progress).pack(consume)


@dataclass(frozen=True, slots=True)
class _Reading:
    """An archive that can be packed, again and again."""

    source: ArchiveSource
    options: ArchiveOptions
    progress: Progress | None

    async def pack(
        self, consume: Callable[[AsyncIterator[bytes]], Awaitable[T]], *, end_early: bool = False
    ) -> tuple[PackedArchive, T]:
        """With `end_early` a consumer sees the end of the stream, instead of its own cancellation, if packing stops."""
        queue: asyncio.Queue[list[bytes] | None] = asyncio.Queue(_QUEUE_DEPTH)
        async with first_failure(), asyncio.TaskGroup() as group:
            consuming = group.create_task(_awaited(consume(_drained(queue))))
            try:
                packed = await self._fill(queue)
            except BaseException:
                if end_early:
                    await _end(queue, consuming)
                raise
        return packed, consuming.result()

    async def _fill(self, queue: asyncio.Queue[list[bytes] | None]) -> PackedArchive:
        packer = ArchivePacker(
            limits=ArchiveLimits(max_bytes=self.options.max_bytes),
            include_log=self.options.include_log,
            threads=compression_threads(),
        )
        try:
            async with open_source(self.source) as opened:
                while (packed := await opened.feed(packer)) is not None:
                    if self.progress is not None:
                        self.progress(packer.read_bytes, opened.size)
                    if packed:
                        await queue.put(packed)
            tail, result = await in_thread(packer.finish)
        finally:
            await in_thread(packer.close)
        await queue.put(tail)
        await queue.put(None)
        return result


async def _push_layer(blobs: Blobs, reading: _Reading, record: PushRecord) -> ArchiveFacts:
    """The layer as one upload of unknown length, or, where the registry takes none such, in two passes."""
    try:
        async with open_upload(blobs, record) as upload:

            async def send(pieces: AsyncIterator[bytes]) -> None:
                upload.location = await blobs.stream(upload.location, pieces)

            # A registry can cancel an upload whose request has ended properly, and hardly one that broke off.
            packed, _ = await reading.pack(send, end_early=True)
            await _finish(blobs, upload.location, packed.facts, record)
            return packed.facts
    except StreamsRefused:
        _log.info("registry_refused_stream", repository=blobs.repository)
        return await _push_layer_in_two_passes(blobs, reading, record)


async def _finish(blobs: Blobs, location: str, facts: ArchiveFacts, record: PushRecord) -> None:
    digest = parse_digest(facts.compressed_digest)
    if await blobs.exists(digest):
        # Not ours to undo, and no reason to store it again.
        await blobs.cancel_quietly(location)
        return
    record.blob_pushed(digest)
    await blobs.finish(location, digest)


async def _push_layer_in_two_passes(blobs: Blobs, reading: _Reading, record: PushRecord) -> ArchiveFacts:
    """Pack once to know length and digest, once more to send: still nothing on disk."""
    packed, _ = await reading.pack(_discarded)
    digest = parse_digest(packed.facts.compressed_digest)
    if not await blobs.exists(digest):
        async with open_upload(blobs, record) as upload:
            record.blob_pushed(digest)
            size = packed.facts.compressed_bytes
            await reading.pack(lambda pieces: blobs.put_whole(upload.location, pieces, digest=digest, size=size))
    return packed.facts


async def _repeated(client: RegistryClient, push: Callable[[], Awaitable[ArchiveFacts]]) -> ArchiveFacts:
    """Begin again after a lost connection; whatever else fails would fail again."""
    attempt = 1
    while True:
        try:
            return await push()
        except ConnectionLost as error:
            if attempt >= _TRIES.attempts:
                raise
            _log.warning("push_repeated", registry=client.access.host, attempt=attempt, error=error.message)
        await asyncio.sleep(_TRIES.wait_s(attempt, chance=random.random()))  # noqa: S311 - spreads load, no secret
        attempt += 1


async def _end(queue: asyncio.Queue[list[bytes] | None], consuming: asyncio.Task[T]) -> None:
    """Show the consumer the end of the stream, and give it a moment to act on it."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
    await asyncio.wait([consuming], timeout=_END_S)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _drained(queue: asyncio.Queue[list[bytes] | None]) -> AsyncIterator[bytes]:
    while (pieces := await queue.get()) is not None:
        for piece in pieces:
            yield piece


async def _discarded(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass
