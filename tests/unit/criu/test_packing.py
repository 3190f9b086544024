"""An archive packed: digests of both forms, the same for any chunking."""

import hashlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ksnap.criu.packing import ArchivePacker, PackedArchive
from ksnap.errors import CheckpointFailed
from tests.parties.archives import END, Member, archive_chunks, criu_images, documents, small_archive


def pack(data: bytes, *, chunk: int = 1 << 20, log: bool = False, threads: int = 0) -> tuple[bytes, PackedArchive]:
    with ArchivePacker(include_log=log, threads=threads) as packer:
        packed = b"".join(piece for at in range(0, len(data), chunk) for piece in packer.feed(data[at : at + chunk]))
        tail, result = packer.finish()
    return packed + b"".join(tail), result


def test_facts_are_those_of_the_bytes() -> None:
    data = small_archive()
    packed, result = pack(data, log=True)
    facts = result.facts
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == data
    assert facts.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert facts.compressed_digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert (facts.size_bytes, facts.compressed_bytes) == (len(data), len(packed))
    assert facts.annotations["org.criu.checkpoint.container.name"] == "webapp"


@given(st.integers(min_value=1, max_value=20_000))
def test_any_chunking_gives_the_same(chunk: int) -> None:
    data = small_archive()
    assert pack(data, chunk=chunk) == pack(data)


def test_threads_give_the_same_archive() -> None:
    data = b"".join(archive_chunks(5 << 20))
    packed, result = pack(data, threads=2)
    assert result.facts.digest == pack(data)[1].facts.digest
    assert pack(data, threads=2)[0] == packed


def test_a_reused_buffer_does_no_harm() -> None:
    data, buffer = small_archive(), bytearray(777)
    packed = b""
    with ArchivePacker(include_log=True) as packer:
        for at in range(0, len(data), len(buffer)):
            part = data[at : at + len(buffer)]
            buffer[: len(part)] = part
            packed += b"".join(packer.feed(memoryview(buffer)[: len(part)]))
        tail, _ = packer.finish()
    assert packed + b"".join(tail) == pack(data, log=True)[0]


def test_an_archive_that_does_not_name_its_container_is_refused() -> None:
    members = [m for m in documents() if m.name != "spec.dump"]
    data = b"".join(m.encode() for m in [*criu_images(), *members, Member("spec.dump", b"{}")]) + END
    with pytest.raises(CheckpointFailed) as caught:
        pack(data)
    assert "does not name" in caught.value.details
