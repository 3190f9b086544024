"""Ranges and conditions as RFC 9110 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.checkpoints.byte_range import ByteRange, RangeNotSatisfiable, not_modified, parse_range, range_applies

ETAG = '"sha256:abc"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=0-99", ByteRange(0, 100)),
        ("bytes=0-1000", ByteRange(0, 100)),
        ("bytes=50-", ByteRange(50, 100)),
        ("bytes=-10", ByteRange(90, 100)),
        ("bytes=-1000", ByteRange(0, 100)),
        ("BYTES=1-2", ByteRange(1, 3)),
        ("bytes=0-" + "9" * 5000, ByteRange(0, 100)),
    ],
)
def test_a_range_is_cut_to_the_size(header: str, expected: ByteRange) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    "header", [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2"]
)
def test_what_is_malformed_or_several_is_ignored(header: str | None) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_beyond_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 100)


@given(st.text(max_size=40), st.integers(min_value=0, max_value=1 << 40))
def test_no_header_gives_bytes_that_are_not_there(text: str, size: int) -> None:
    try:
        found = parse_range("bytes=" + text, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.end <= size


def test_conditions() -> None:
    assert not_modified(ETAG, ETAG)
    assert not_modified(f'"other", W/{ETAG}', ETAG)
    assert not_modified("*", ETAG)
    assert not not_modified('"other"', ETAG)
    assert not not_modified(None, ETAG)
    assert range_applies(None, ETAG)
    assert range_applies(ETAG, ETAG)
    assert not range_applies('"other"', ETAG)
