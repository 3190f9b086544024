"""A log as it comes: in pieces, and taken up again at a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.logs.lines import LogLine, parse_line
from ksnap.dashboard.logs.places import Place, read_places, write_places
from ksnap.dashboard.logs.tail import LONGEST_LINE, Tail
from ksnap.errors import InvalidInput


def _time(number: int) -> str:
    return f"2024-03-05T10:00:{number:02d}.000000000Z"


def _log(numbers: list[int]) -> bytes:
    return b"".join(f"{_time(number)} line {place} \u00e9\n".encode() for place, number in enumerate(sorted(numbers)))


def _fed(tail: Tail, log: bytes, cuts: list[int]) -> list[LogLine]:
    ends = sorted(cut % (len(log) + 1) for cut in cuts)
    return [
        line for begin, end in zip([0, *ends], [*ends, len(log)], strict=True) for line in tail.feed(log[begin:end])
    ]


_numbers = st.lists(st.integers(0, 9), max_size=30)
_cuts = st.lists(st.integers(0, 2000), max_size=10)


@given(_numbers, _cuts)
def test_pieces_of_any_size_give_the_same_lines(numbers: list[int], cuts: list[int]) -> None:
    log = _log(numbers)
    assert _fed(Tail(), log, cuts) == [parse_line(line) for line in log.splitlines()]


@given(_numbers, st.integers(0, 30), _cuts)
def test_whoever_comes_back_misses_nothing_and_sees_nothing_twice(
    numbers: list[int], seen: int, cuts: list[int]
) -> None:
    log = _log(numbers)
    lines = log.splitlines(keepends=True)
    before = Tail()
    first = before.feed(b"".join(lines[:seen]))
    again = Tail(before.place)
    # The API server begins at the second's beginning, which is where all lines of one timestamp are.
    begin = next(
        (place for place, line in enumerate(lines) if before.place and before.place.timestamp.encode() in line), 0
    )
    assert first + _fed(again, b"".join(lines[begin:]), cuts) == [parse_line(line) for line in log.splitlines()]
    assert again.place == (_place_behind(lines) if lines else None)


def _place_behind(lines: list[bytes]) -> Place | None:
    tail = Tail()
    tail.feed(b"".join(lines))
    return tail.place


def test_a_place_counts_lines_of_one_time() -> None:
    tail = Tail()
    tail.feed(_log([1, 2, 2, 2]))
    assert tail.place == Place(_time(2), 3)


def test_a_line_without_an_end_is_shown_at_the_end_and_once_more_when_it_is_whole() -> None:
    tail = Tail()
    assert tail.feed(_log([1])[:-1]) == []
    assert [line.content for line in tail.finish()] == ["line 0 \u00e9"]
    assert tail.place is None


def test_a_long_line_comes_in_pieces_of_whole_characters() -> None:
    text = "\u20ac" * LONGEST_LINE
    tail = Tail()
    line = f"{_time(1)} {text}\n{_time(2)} short\n".encode()
    found = [each for at in range(0, len(line), 10_000) for each in tail.feed(line[at : at + 10_000])]
    *pieces, last = found
    assert len(pieces) > 2
    assert "".join(piece.content for piece in pieces) == text
    assert {piece.timestamp for piece in pieces} == {_time(1)}
    assert last == LogLine(_time(2), "short")
    assert tail.place == Place(_time(2), 1)


def test_a_long_line_that_was_seen_does_not_come_again() -> None:
    log = f"{_time(1)} {'x' * LONGEST_LINE * 2}\n".encode()
    before = Tail()
    before.feed(log)
    again = Tail(before.place)
    assert again.feed(log) == []
    assert again.feed(_log([2])) == [parse_line(_log([2])[:-1])]


def test_lines_without_a_time_are_shown_and_move_no_place() -> None:
    tail = Tail(Place(_time(1), 1))
    assert tail.feed(b"cannot read\n") == [LogLine("0", "cannot read")]
    assert tail.place == Place(_time(1), 1)


def test_places_travel_as_text() -> None:
    places = {"app": Place(_time(1), 2), "side-car": Place("2024-03-05T10:00:00.5+05:30", 1)}
    assert read_places(write_places(places)) == places
    assert read_places("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "app=now/1",
        f"app={_time(1)}",
        f"app={_time(1)}/-1",
        f"App={_time(1)}/1",
        ("a" * 63 + f"={_time(1)}/1,") * 60,
    ],
)
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_places(text)
