"""Which lines a window means (dashboard contract, sections 11.2 and 18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.logs.lines import parse_line
from ksnap.dashboard.logs.selection import (
    BEGINNING,
    DEFAULT_LINES,
    END,
    NEWEST,
    OLDEST,
    ReferencePoint,
    Selection,
    last_lines,
    select,
)


def _time(number: int) -> str:
    return f"2024-03-05T10:00:{number:02d}.000000000Z"


def _log(*numbers: int) -> list[bytes]:
    """Lines whose text tells their place."""
    return [f"{_time(number)} line {place}".encode() for place, number in enumerate(numbers)]


TEN = _log(1, 2, 3, 4, 4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("timestamp", "line_num", "offsets", "position", "lines", "reply_offsets"),
    [
        (NEWEST, 0, (-2, 1), END, (7, 10), (2, 5)),
        (NEWEST, 0, (2_000_000_000, 2_000_000_003), END, (7, 10), (2, 5)),
        (OLDEST, 0, (-2_000_000_003, -2_000_000_000), BEGINNING, (0, 3), (-5, -2)),
        (_time(4), -1, (-1, 2), END, (3, 6), (-2, 1)),
    ],
)
def test_known_answers(
    *,
    timestamp: str,
    line_num: int,
    offsets: tuple[int, int],
    position: str,
    lines: tuple[int, int],
    reply_offsets: tuple[int, int],
) -> None:
    found = select(TEN, Selection(ReferencePoint(timestamp, line_num), *offsets, position))
    assert found is not None
    assert (found.start, found.stop) == lines
    assert found.selection == Selection(ReferencePoint(_time(5), -1), *reply_offsets, position)


def test_a_third_of_two_equal_times_is_not_there() -> None:
    assert select(TEN, Selection(ReferencePoint(_time(4), 3), -1, 2, END)) is None


@pytest.mark.parametrize(
    ("line_num", "place"), [(0, 3), (1, 3), (2, 4), (-1, 4), (-2, 3), (3, None), (-3, None)], ids=str
)
def test_which_of_equal_times(line_num: int, place: int | None) -> None:
    found = select(TEN, Selection(ReferencePoint(_time(4), line_num), 0, 1, END))
    assert (found.start if found else None) == place


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ([], last_lines(100)),
        (TEN, Selection(ReferencePoint(NEWEST), 1, 1, END)),
        (TEN, Selection(ReferencePoint(NEWEST), 2, -2, END)),
        (TEN, Selection(ReferencePoint("2024-01-01T00:00:00Z"), -1, 1, END)),
        (TEN, Selection(ReferencePoint("\ud800"), -1, 1, END)),
    ],
)
def test_nothing_is_selected(lines: list[bytes], asked: Selection) -> None:
    assert select(lines, asked) is None


@pytest.mark.parametrize(
    ("offsets", "position", "at_edge"),
    [
        ((-20, 1), END, True),
        ((-20, 1), BEGINNING, True),
        ((-9, 1), END, False),
        ((-10, 0), END, True),
        ((-10, 0), BEGINNING, False),
        ((-4, 5), END, False),
        ((-4, 5), BEGINNING, True),
    ],
)
def test_the_edge_counts_in_reading_direction(offsets: tuple[int, int], position: str, *, at_edge: bool) -> None:
    found = select(TEN, Selection(ReferencePoint(NEWEST), *offsets, position))
    assert found is not None
    assert found.at_edge is at_edge


def test_a_run_of_equal_times_at_the_end_is_counted_from_its_front() -> None:
    found = select(_log(1, 2, 2, 2, 2), last_lines(1))
    assert found is not None
    assert found.selection.reference_point == ReferencePoint(_time(2), 2)


def test_lines_without_a_time_can_be_references() -> None:
    lines = [*TEN[:2], b"unable to read", b"unable to read", *TEN[2:3]]
    found = select(lines, last_lines(2))
    assert found is not None
    assert found.selection.reference_point == ReferencePoint("0", -2)
    again = select(lines, found.selection)
    assert again is not None
    assert (again.start, again.stop) == (3, 5)


def test_a_clock_that_was_set_back_hides_no_line() -> None:
    lines = _log(5, 6, 7, 1, 2, 3, 6)
    found = select(lines, Selection(ReferencePoint(_time(7), 1), 0, 1, END))
    assert found is not None
    assert parse_line(lines[found.start]).content == "line 2"


# Properties


def _logs_of(least: int) -> st.SearchStrategy[list[bytes]]:
    return st.lists(st.integers(0, 9), min_size=least, max_size=60).map(lambda numbers: _log(*sorted(numbers)))


_logs = _logs_of(1)


def _moved(selection: Selection, offset_from: int, offset_to: int) -> Selection:
    return Selection(selection.reference_point, offset_from, offset_to, selection.log_file_position)


@given(_logs, st.integers(1, 20))
def test_paging_older_walks_the_whole_log(lines: list[bytes], page: int) -> None:
    found = select(lines, last_lines(page))
    assert found is not None
    assert found.stop == len(lines)
    reached = found.start
    while reached > 0:
        at = found.selection.offset_from
        found = select(lines, _moved(found.selection, at - page, at))
        assert found is not None
        # What is left at the front may be less than a page: then it is filled up with lines that were seen.
        assert found.start == max(0, reached - page)
        assert found.stop == (reached if found.start > 0 else min(page, len(lines)))
        reached = found.start


@given(_logs, st.integers(1, 20))
def test_paging_newer_walks_the_whole_log(lines: list[bytes], page: int) -> None:
    found = select(lines, Selection(ReferencePoint(OLDEST), -2_000_000_000 - page, -2_000_000_000, BEGINNING))
    assert found is not None
    assert found.start == 0
    reached = found.stop
    while reached < len(lines):
        at = found.selection.offset_to
        found = select(lines, _moved(found.selection, at, at + page))
        assert found is not None
        assert found.stop == min(len(lines), reached + page)
        assert found.start == max(0, found.stop - page)
        reached = found.stop


@given(_logs, st.integers(1, 20), st.integers(-70, 70))
def test_a_reply_asked_again_gives_the_same_lines(lines: list[bytes], width: int, offset: int) -> None:
    found = select(lines, Selection(ReferencePoint(NEWEST), offset, offset + width, END))
    assert found is not None
    again = select(lines, found.selection)
    assert again is not None
    assert (again.start, again.stop, again.selection) == (found.start, found.stop, found.selection)


@given(
    _logs_of(21),
    st.integers(1, 5),
    st.integers(0, 5),
    st.lists(st.integers(9, 12), max_size=8),
)
def test_the_reference_survives_rotation_and_growth(
    lines: list[bytes], width: int, taken: int, added: list[int]
) -> None:
    """A page around the middle is the same page after lines were lost in front and written behind."""
    middle = select(lines, Selection(ReferencePoint(OLDEST), len(lines) // 2, len(lines) // 2 + width, END))
    assert middle is not None
    first = lines[len(lines) // 2].split(b" ")[0]
    # A run that reaches into what is taken away at the front is not counted from there unless it is the last one.
    if lines[taken].startswith(first) or lines[-1].startswith(first):
        taken = 0
    grown = [*lines[taken:], *(f"{_time(number)} new".encode() for number in sorted(added))]
    if grown[-1].startswith(first) and not lines[-1].startswith(first):
        return
    again = select(grown, middle.selection)
    assert again is not None
    assert grown[again.start : again.stop] == lines[middle.start : middle.stop]


def test_default_is_the_last_hundred() -> None:
    lines = _log(*range(60), *range(60), *range(60))
    found = select(lines, last_lines(DEFAULT_LINES))
    assert found is not None
    assert (found.start, found.stop) == (80, 180)
