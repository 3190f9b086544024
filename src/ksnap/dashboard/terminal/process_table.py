"""Finds a session's process among those of its container (proc_pid_stat(5)). Pure.

A command that Kubernetes executes has no name of its own that we may choose, and the cluster does not tell its process
id. But it is the leader of a session with a terminal, its parent is outside of the container, and we know when it
began: between our asking for it and its first word. Ages are compared with the age of the very command that lists the
processes, so that no clock of the node's is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# What /proc counts in, on every architecture that Kubernetes runs on (USER_HZ).
TICKS_PER_S = 100
# A tick is cut off on both sides, and the kernel's moment is not ours.
MARGIN_S = 0.05

LISTING = (
    'read -r self < /proc/self/stat && echo "$self" && '
    'for each in /proc/[0-9]*/stat; do read -r line < "$each" && echo "$line"; done 2> /dev/null; exit 0'
)
"""For any POSIX shell, with no other program. The first line is the shell's own."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened at another place, as our clock bounds it."""

    after_s: float
    before_s: float


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    group: int
    session: int
    terminal: int
    foreground: int
    """The process group that has the terminal."""
    began_ticks: int


def parse(line: str) -> Process | None:
    """One line of /proc/PID/stat. The name, in parentheses, may hold anything: what counts stands behind the last."""
    pid, _, rest = line.partition(" (")
    fields = rest.rpartition(")")[2].split()
    try:
        parent, group, session, terminal, foreground = map(int, fields[1:6])
        return Process(int(pid), parent, group, session, terminal, foreground, int(fields[19]))
    except (ValueError, IndexError):
        return None


def terminal_holders(lines: Sequence[str], *, began: Moment, listed: Moment) -> list[int]:
    """What holds the terminal of the session that began then: its leader, first, and what runs in its foreground.

    Nothing if it cannot be told for sure. What the user has put in the background to stay there (nohup) is not in it;
    a shell hangs up on the rest of its jobs itself.
    """
    found = [process for process in map(parse, lines) if process is not None]
    if not found:
        return []
    lister, others = found[0], found[1:]
    least_s = listed.after_s - began.before_s - MARGIN_S
    most_s = listed.before_s - began.after_s + MARGIN_S
    leaders = [
        each
        for each in others
        if each.parent == 0
        and each.session == each.pid != 1
        and each.terminal != 0
        and least_s <= (lister.began_ticks - each.began_ticks) / TICKS_PER_S <= most_s
    ]
    if len(leaders) != 1:
        return []
    leader = leaders[0]
    foreground = [each.pid for each in others if each.session == leader.pid and each.group == leader.foreground]
    return [leader.pid, *(pid for pid in foreground if pid != leader.pid)]
