"""Finding a session's processes by their age, without a clock of the node's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.terminal.process_table import Moment, parse, terminal_holders

PTS = 34816


def line(
    pid: int, *, parent: int = 0, group: int = 0, session: int = 0, tty: int = PTS, fg: int = 0, at_s: float
) -> str:
    """As /proc/PID/stat has it; a process leads its own group and session unless it is told otherwise."""
    fields = ["S", parent, group or pid, session or pid, tty, fg or pid, *([0] * 13), int(at_s * 100), *([0] * 30)]
    return f"{pid} (any (na) me) " + " ".join(map(str, fields))


LISTER = line(90, tty=0, at_s=1060.0)  # listed between 160.0 and 160.1 of our clock
FIRST = line(1, tty=0, at_s=900.0)
LISTED = Moment(160.0, 160.1)
BEGAN = Moment(100.0, 100.1)


def test_the_session_that_began_then_with_its_foreground() -> None:
    lines = [
        FIRST,
        line(7, fg=9, at_s=1000.0),
        line(8, parent=7, session=7, at_s=1010.0),  # in the background
        line(9, parent=7, session=7, at_s=1020.0),
        line(10, parent=9, session=7, group=9, at_s=1021.0),
        line(20, fg=20, at_s=1030.0),  # another terminal
        line(21, tty=0, at_s=1000.0),  # no terminal
        line(22, parent=1, at_s=1000.0),  # not from outside
        LISTER,
        LISTER,
    ]
    assert terminal_holders(lines, began=BEGAN, listed=LISTED) == [7, 9, 10]


def test_a_shell_at_its_prompt_is_alone() -> None:
    assert terminal_holders([line(7, at_s=1000.0), LISTER], began=BEGAN, listed=LISTED) == [7]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["nonsense"],
        [LISTER],
        [line(7, at_s=990.0), LISTER],
        [line(7, at_s=1010.0), LISTER],
        [line(7, at_s=1000.0), line(8, at_s=1000.02), LISTER],  # which of the two?
        [line(1, at_s=1000.0), LISTER],  # a container's own first process is nobody's session
    ],
)
def test_nothing_where_it_is_not_sure(lines: list[str]) -> None:
    assert terminal_holders(lines, began=BEGAN, listed=LISTED) == []


@given(st.text())
def test_no_line_breaks_it(text: str) -> None:
    parse(text)
    parse(f"7 ({text}) S 0")
