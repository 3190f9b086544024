"""zstd streams cut between blocks: nothing is lost, and no cut decompresses to much."""

import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ksnap.errors import InvalidInput
from ksnap.oci.zstd_blocks import BlockCutter

DATA = random.Random(1).randbytes(300_000) + bytes(5_000_000) + b"text " * 100_000


def cut(stream: bytes, chunk: int) -> list[bytes]:
    cutter = BlockCutter()
    cuts = [each for at in range(0, len(stream), chunk) for each in cutter.feed(stream[at : at + chunk])]
    return [*cuts, cutter.finish()]


@settings(max_examples=20)
@given(st.integers(min_value=1, max_value=400_000), st.booleans(), st.booleans(), st.integers(0, 2))
def test_cuts_are_the_stream_and_bounded(chunk: int, checksum: bool, size: bool, threads: int) -> None:  # noqa: FBT001
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=size, threads=threads)
    stream = compressor.compress(DATA) + compressor.compress(b"second frame " * 10)
    cuts = cut(stream, max(chunk, len(stream) // 500))
    assert b"".join(cuts) == stream
    decompressor = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    plain = [decompressor.decompress(each) for each in cuts]
    assert b"".join(plain) == DATA + b"second frame " * 10
    assert max(map(len, plain)) <= 1 << 20


def test_tiny_and_empty_streams() -> None:
    assert cut(b"", 1) == [b""]
    stream = zstandard.ZstdCompressor().compress(b"")
    assert b"".join(cut(stream, 3)) == stream


def test_a_cut_off_stream_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cut off"):
        cut(zstandard.ZstdCompressor().compress(DATA)[:-10], 1000)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="damaged"):
        cut(b"not zstd at all, surely", 7)
