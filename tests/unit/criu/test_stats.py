"""CRIU's figures of a dump."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.criu.stats import frozen_us

# As CRIU 4.2 writes it: freezing_time 371, frozen_time 20642, two more times, and counts of pages.
_FIELDS = "08f302 10a2a101 18e43c 20bf0f 28bd02 3000 3800 40c202 4800 5001"
WRITTEN = bytes.fromhex("4059105506330957 1d000000 0a1b" + _FIELDS)


def written(dump: bytes) -> bytes:
    entry = bytes([0x0A, len(dump)]) + dump
    return WRITTEN[:8] + struct.pack("<I", len(entry)) + entry


def test_time_of_standstill_is_read() -> None:
    assert frozen_us(WRITTEN) == 20642
    assert frozen_us(written(b"\x10\x05")) == 5


@pytest.mark.parametrize(
    "document",
    [b"", WRITTEN[:8], WRITTEN[:11], b"\0" * 60, written(b"\x08\x05"), written(b"\x15abcd"), written(b"\x10\xff")],
    ids=["nothing", "no length", "cut length", "other file", "no such field", "other kind", "cut number"],
)
def test_what_does_not_say_is_none_or_a_number(document: bytes) -> None:
    assert frozen_us(document) in {None, 0}


@given(st.binary(max_size=80))
def test_garbage_is_no_error(body: bytes) -> None:
    found = frozen_us(WRITTEN[:8] + struct.pack("<I", len(body)) + body)
    assert found is None or found >= 0
