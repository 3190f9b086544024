"""Kubernetes' exec protocol as bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.kube.exec_frames import (
    Channel,
    Closed,
    Data,
    Ending,
    Tail,
    close_message,
    data_message,
    parse,
    parse_status,
)


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (b"\x01hello", Data(Channel.STDOUT, b"hello")),
        (b"\x02", Data(Channel.STDERR, b"")),
        (b"\x03{}", Data(Channel.ERROR, b"{}")),
        (b"\xff\x01", Closed(Channel.STDOUT)),
        (b"", None),
        (b"\xff", None),
        (b"\xff\x09", None),
        (b"\x09from a later version", None),
    ],
)
def test_a_message_is_a_channel_and_data(message: bytes, meant: Data | Closed | None) -> None:
    assert parse(message) == meant


@given(st.sampled_from(Channel), st.binary(max_size=64))
def test_what_is_written_is_read(channel: Channel, data: bytes) -> None:
    assert parse(data_message(channel, data)) == Data(channel, data)
    assert parse(close_message(channel)) == Closed(channel)


def failure(**more: Any) -> bytes:
    return json.dumps({"status": "Failure", "message": "it ended so", **more}).encode()


def causes(*entries: dict[str, str]) -> dict[str, Any]:
    return {"reason": "NonZeroExitCode", "details": {"causes": list(entries)}}


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (b'{"metadata":{},"status":"Success"}', Ending(0)),
        (failure(**causes({"reason": "ExitCode", "message": "137"})), Ending(137, "it ended so")),
        (
            failure(**causes({"reason": "Other", "message": "x"}, {"reason": "ExitCode", "message": "3"})),
            Ending(3, "it ended so"),
        ),
        (failure(reason="InternalError", code=500), Ending(None, "it ended so")),
        (b'{"status":"Failure"}', Ending(None)),
    ],
)
def test_a_status_ends_a_command(status: bytes, ending: Ending) -> None:
    assert parse_status(status) == ending


@pytest.mark.parametrize(
    "status",
    [
        b"",
        b'{"status":"Succ',
        b"[]",
        b"[" * 50_000,
        b"null",
        b"\xff\xfe",
        b"{}",
        failure(reason="NonZeroExitCode"),
        failure(**causes()),
        failure(**causes({"reason": "ExitCode", "message": "many"})),
    ],
)
def test_what_is_no_whole_status_is_no_ending(status: bytes) -> None:
    assert parse_status(status) is None


@given(st.binary())
def test_no_bytes_break_the_parsers(data: bytes) -> None:
    parse(data)
    parse_status(data)


@given(st.lists(st.binary(max_size=40), max_size=10), st.integers(1, 50))
def test_a_tail_is_the_end_of_all(pieces: list[bytes], limit: int) -> None:
    tail = Tail(limit)
    for each in pieces:
        tail.add(each)
    assert bytes(tail) == b"".join(pieces)[-limit:]
