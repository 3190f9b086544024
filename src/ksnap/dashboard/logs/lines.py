"""Log lines as the kubelet sends them when asked for timestamps: RFC 3339, one space, what the program wrote. Pure.

A page is a small part of what was read, so lines stay bytes and are taken apart only where they are looked at.
"""

import re
from datetime import datetime

import msgspec

NO_TIME = "0"
"""The timestamp of a line without one, such as an error text that the kubelet writes in between."""
# Hours are bounded here, for Python's own parser takes 24:00 from 3.13 on; it looks at the days of the month.
_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)) "
)


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a reply."""

    timestamp: str
    content: str


def split_lines(body: bytes) -> list[bytes]:
    """The lines of a log that are not empty."""
    return [line for line in body.split(b"\n") if line]


def stamp_of(line: bytes) -> str:
    """The timestamp before a line's text, as it stands there; NO_TIME without one."""
    found = _STAMP.match(line)
    if found is None:
        return NO_TIME
    stamp = found[1].decode()
    return stamp if is_time(stamp) else NO_TIME


def parse_line(line: bytes) -> LogLine:
    """The line taken apart. What is not UTF-8 is shown as such."""
    stamp = stamp_of(line)
    text = line if stamp == NO_TIME else line[len(stamp) + 1 :]
    return LogLine(stamp, text.decode("utf-8", "replace"))


def is_time(text: str) -> bool:
    """Whether a text of RFC 3339's shape is a time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_rfc3339(text: str) -> bool:
    """Whether a text is a time as RFC 3339 writes it, with its zone."""
    return text.isascii() and _STAMP.fullmatch(text.encode() + b" ") is not None and is_time(text)
