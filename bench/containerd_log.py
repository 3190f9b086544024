"""How long containerd took to make and to start a container, by the times of its own log: nanoseconds, one clock. Pure.

The pod's status knows whole seconds only, which is too coarse for a start that takes two.
"""

import re
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Spans:
    """Seconds."""

    create_s: float
    """CreateContainer: of a checkpoint image, its archive is copied out and the root file system is made again."""
    start_s: float
    """StartContainer: runc's restore, with CRIU in it."""


def spans(log: str, container_id: str) -> Spans:
    """Of one container, by its id; LookupError if the log does not have all four lines."""
    lines = log.splitlines()
    made, sandbox = _find(
        lines, rf'CreateContainer within sandbox \\"(\w+)\\" .*returns container id \\"{container_id}'
    )
    # Containers of a pod are made one after the other: the last such line before the answer is its question.
    asked, _ = _find(lines[made::-1], rf'CreateContainer within sandbox \\"{sandbox}\\" for container ')
    begun, _ = _find(lines, rf'StartContainer for \\"({container_id})\\""')
    started, _ = _find(lines, rf'StartContainer for \\"({container_id})\\" returns successfully')
    times = [_time(lines[each]) for each in (made - asked, made, begun, started)]
    return Spans((times[1] - times[0]).total_seconds(), (times[3] - times[2]).total_seconds())


def _find(lines: list[str], pattern: str) -> tuple[int, str]:
    """Where the first line with the pattern is, and what its group holds."""
    for number, line in enumerate(lines):
        if found := re.search(pattern, line):
            return number, found.group(1) if found.groups() else ""
    raise LookupError(f"containerd's log has no line like {pattern}")


def _time(line: str) -> datetime:
    return datetime.fromisoformat(line.removeprefix('time="').partition('"')[0])
