"""Log lines as the kubelet sends them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.logs.lines import LogLine, is_rfc3339, parse_line, split_lines


@pytest.mark.parametrize(
    ("line", "timestamp", "content"),
    [
        (b"2024-03-05T10:00:00.100000000Z started", "2024-03-05T10:00:00.100000000Z", "started"),
        (b"2024-03-05T10:00:00Z  two spaces ", "2024-03-05T10:00:00Z", " two spaces "),
        (b"2024-03-05T10:00:00.1+05:30 far away", "2024-03-05T10:00:00.1+05:30", "far away"),
        (b"2024-03-05T10:00:00Z ", "2024-03-05T10:00:00Z", ""),
        (b"2024-03-05T10:00:00Z \xff\xc3\xa9", "2024-03-05T10:00:00Z", "\ufffd\u00e9"),
        (b"2024-03-05T10:00:00Z", "0", "2024-03-05T10:00:00Z"),
        (b"2024-02-30T10:00:00Z no day", "0", "2024-02-30T10:00:00Z no day"),
        (b"2024-03-05T24:00:00Z no hour", "0", "2024-03-05T24:00:00Z no hour"),
        (b"2024-03-05 10:00:00 no T", "0", "2024-03-05 10:00:00 no T"),
        (b"2024-03-05T10:00:00 no zone", "0", "2024-03-05T10:00:00 no zone"),
        (b"7 of 9", "0", "7 of 9"),
        (b"unable to retrieve container logs", "0", "unable to retrieve container logs"),
    ],
)
def test_only_a_time_is_a_timestamp(line: bytes, timestamp: str, content: str) -> None:
    assert parse_line(line) == LogLine(timestamp, content)


def test_empty_lines_are_dropped() -> None:
    assert split_lines(b"\na\n\n b\n") == [b"a", b" b"]
    assert split_lines(b"") == []


@given(st.binary())
def test_any_bytes_are_some_line(line: bytes) -> None:
    parsed = parse_line(line)
    assert parsed.timestamp == "0" or line.decode("utf-8", "replace") == f"{parsed.timestamp} {parsed.content}"


@pytest.mark.parametrize("text", ["2024-03-05T10:00:00Z", "2024-03-05T10:00:00.5-01:00"])
def test_times(text: str) -> None:
    assert is_rfc3339(text)


@pytest.mark.parametrize(
    "text", ["", "now", "2024-03-05", "2024-03-05T10:00:00", "2024-13-05T10:00:00Z", "2024-03-05T10:00:00Z ", "\u0661"]
)
def test_no_times(text: str) -> None:
    assert not is_rfc3339(text)
