"""Which lines of a log are asked for: a window around a reference line that survives rotation. Pure.

Follows the dashboard contract, section 11.2. The reference of a reply is the line in the middle of what was read: of
all lines it is the least likely to be gone, or cut, when the next page is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ksnap.dashboard.logs.lines import NO_TIME, stamp_of

NEWEST = "newest"
OLDEST = "oldest"
BEGINNING = "beginning"
END = "end"
DEFAULT_LINES = 100


class ReferencePoint(msgspec.Struct, frozen=True, rename="camel"):
    """A line: its timestamp, and which of those that share it: k from the front, -k from the back."""

    timestamp: str = ""
    line_num: int = 0


class Selection(msgspec.Struct, frozen=True, rename="camel"):
    """A window relative to a reference line, its end exclusive."""

    reference_point: ReferencePoint = ReferencePoint()
    offset_from: int = 0
    offset_to: int = 0
    log_file_position: str = ""


NOTHING = Selection()


def last_lines(count: int) -> Selection:
    """The end of the log."""
    return Selection(ReferencePoint(NEWEST), 1 - count, 1, END)


@dataclass(frozen=True, slots=True)
class Selected:
    """The lines [start, stop) of the log, and the same window in words that a client can come back with."""

    start: int
    stop: int
    selection: Selection
    at_edge: bool
    """The window reaches the edge of what was read: if not all was read, there may be more."""


def select(lines: Sequence[bytes], asked: Selection) -> Selected | None:
    """The window; None if its reference line is not there, or it has no width."""
    width = asked.offset_to - asked.offset_from
    reference = _index_of(lines, asked.reference_point)
    if reference is None or width <= 0:
        return None
    start, stop, at_edge = _placed(reference + asked.offset_from, width, len(lines), asked.log_file_position)
    middle = len(lines) // 2
    point = _reference_to(lines, middle)
    return Selected(start, stop, Selection(point, start - middle, stop - middle, asked.log_file_position), at_edge)


def _placed(start: int, width: int, count: int, position: str) -> tuple[int, int, bool]:
    """The window moved to where there are lines, and whether the log's edge in reading direction was met."""
    if width > count:
        return 0, count, True
    if start + width > count:
        return count - width, count, position == BEGINNING
    if start < 0:
        return 0, width, position == END
    return start, start + width, False


def _index_of(lines: Sequence[bytes], point: ReferencePoint) -> int | None:
    if not lines:
        return None
    if point.timestamp in {NEWEST, ""}:
        return len(lines) - 1
    if point.timestamp == OLDEST:
        return 0
    equals = _with_stamp(lines, point.timestamp)
    place = point.line_num if point.line_num < 0 else max(point.line_num, 1) - 1
    return equals[place] if -len(equals) <= place < len(equals) else None


def _reference_to(lines: Sequence[bytes], index: int) -> ReferencePoint:
    """Counted from the back where that is settled: the front is what rotation takes away."""
    stamp = stamp_of(lines[index])
    equals = _with_stamp(lines, stamp)
    place = equals.index(index)
    growing = equals[-1] == len(lines) - 1
    return ReferencePoint(stamp, place + 1 if growing else place - len(equals))


def _with_stamp(lines: Sequence[bytes], stamp: str) -> list[int]:
    """Each is looked at: bisection would need times in order, and a clock that was set back breaks that."""
    if stamp == NO_TIME:
        return [index for index, line in enumerate(lines) if stamp_of(line) == NO_TIME]
    prefix = stamp.encode("utf-8", "replace") + b" "
    return [index for index, line in enumerate(lines) if line.startswith(prefix)]
