"""HTTP's byte ranges and conditions for one representation of known size (RFC 9110, sections 13 and 14). Pure."""

import re
from dataclasses import dataclass

from ksnap.errors import InvalidInput

_RANGE = re.compile(r"^bytes=\s*(\d*)-(\d*)\s*$", re.IGNORECASE)
# A longer number lies beyond the end of any file; it is not worth a big integer.
_DIGITS = 19


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, the latter not included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class RangeNotSatisfiable(InvalidInput):
    """The range lies wholly beyond the end."""

    status = 416


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The range asked for, cut to the size; None where the whole is to be sent.

    A malformed header and several ranges are ignored, as RFC 9110 section 14.2 allows.
    """
    match = _RANGE.match(header) if header else None
    if match is None:
        return None
    first, last = _number(match.group(1)), _number(match.group(2))
    if first is None:
        return None if last is None else _suffix(last, size)
    if last is not None and last < first:
        return None
    if first >= size:
        raise _beyond(size)
    return ByteRange(first, size if last is None else min(last + 1, size))


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _suffix(length: int, size: int) -> ByteRange:
    if length == 0 or size == 0:
        raise _beyond(size)
    return ByteRange(max(0, size - length), size)


def _beyond(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable("The range lies beyond the end", details=f"Range: the archive has {size} bytes")


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether a Range may be honoured: If-Range names this very representation, or is not there."""
    return if_range is None or if_range.strip() == etag


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the representation already (weak comparison, as section 13.1.2 asks)."""
    if not if_none_match:
        return False
    given = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in given or etag in given
