"""An archive on its way to becoming a layer: checked, hashed, compressed, hashed again, in one pass (decision 7).

CPU work only, for a thread: hashlib and zstandard let go of the interpreter's lock while they work on large chunks.
Hashing has a thread of its own, since it takes half as long again as compressing does. Memory is constant: zstd's own
buffers and one chunk.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import zstandard

from ksnap.criu.archive import ArchiveContents, ArchiveReader, Piece
from ksnap.criu.archive_rules import ArchiveLimits
from ksnap.criu.metadata import ArchiveMetadata, image_annotations, read_metadata
from ksnap.criu.tar_header import bad_archive
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.model.digest import sha256_digest

LEVEL = 3
# zstd's own job of 8 MiB costs each thread some 30 MiB of buffers and the caches their use.
_JOB_BYTES = 2 << 20
_MOST_THREADS = 4


@dataclass(frozen=True, slots=True)
class PackedArchive:
    """What is known once the last byte was packed."""

    facts: ArchiveFacts
    metadata: ArchiveMetadata
    contents: ArchiveContents


def compression_threads() -> int:
    """zstd's own threads: none on two processors, where hashing and sending take the second one."""
    processors = len(os.sched_getaffinity(0))
    return 0 if processors <= 2 else min(processors - 1, _MOST_THREADS)


class ArchivePacker:
    """One archive into one zstd stream; feed it all chunks in order, then call `finish` once. A context manager."""

    def __init__(self, *, limits: ArchiveLimits | None = None, include_log: bool = False, threads: int = 0) -> None:
        self._reader = ArchiveReader(limits=limits, include_log=include_log)
        self._plain_hash = hashlib.sha256()
        self._packed_hash = hashlib.sha256()
        self._packed_bytes = 0
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, threads=threads, **({"job_size": _JOB_BYTES} if threads else {})
        )
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the hashing thread, after what it has to do."""
        self._hashing.shutdown()

    @property
    def read_bytes(self) -> int:
        return self._reader.read_bytes

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[bytes]:
        """Pack the next bytes; what of the layer is ready. `chunk` may be reused afterwards."""
        pieces = self._reader.feed(chunk)
        hashed = self._hashing.submit(_hash_all, self._plain_hash, pieces)
        try:
            packed = [data for piece in pieces if (data := self._compressor.compress(piece))]
        finally:
            hashed.result()
        return self._counted(packed)

    def finish(self) -> tuple[list[bytes], PackedArchive]:
        """The layer's last bytes and all facts; refused if the archive is not whole."""
        contents = self._reader.finish()
        metadata = read_metadata(contents.documents)
        if not metadata.container_name:
            raise bad_archive("the archive does not name its container")
        tail = self._counted([self._compressor.flush()])
        self._hashing.submit(_nothing).result()
        facts = ArchiveFacts(
            size_bytes=contents.passed_bytes,
            digest=sha256_digest(self._plain_hash.hexdigest()),
            compressed_bytes=self._packed_bytes,
            compressed_digest=sha256_digest(self._packed_hash.hexdigest()),
            annotations=image_annotations(metadata),
            frozen_us=metadata.frozen_us,
        )
        return tail, PackedArchive(facts, metadata, contents)

    def _counted(self, packed: list[bytes]) -> list[bytes]:
        """Hash what was packed while the next chunk is; one thread hashes in order."""
        self._packed_bytes += sum(map(len, packed))
        self._hashing.submit(_hash_all, self._packed_hash, packed)
        return packed


def _hash_all(hasher: "hashlib._Hash", pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        hasher.update(piece)


def _nothing() -> None:
    """Runs after all hashing before it."""
