"""What a look at a node or a pod comes to: findings, each with what to do about it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is, from good to bad."""

    OK = "ok"
    """Looked at, and as it should be."""
    UNKNOWN = "unknown"
    """Cannot be told from here; the message says how it will be."""
    WARNING = "warning"
    """Works, or may work, with a consequence that the message names."""
    PROBLEM = "problem"
    """Will not work until it is changed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    id: str
    """Stable, for scripts; the same in every version that knows the finding."""
    level: Level
    message: str
    remedy: str = ""
    """What to do, with the exact lines to add; empty where nothing is to be done."""


def problems(findings: Iterable[Finding]) -> int:
    return sum(each.level is Level.PROBLEM for each in findings)
