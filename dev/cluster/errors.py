"""What can go wrong with the cluster, as errors that say where to look.

ClusterError
├── CommandError   a program that we called answered with an exit code, or took too long
├── NotReadyError        something that we started did not become ready before its deadline
└── NotUpError           somebody asks for a cluster that is not there
"""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 15
"""Enough to hold a Go program's last words, few enough to stay on a screen together with the error."""


class ClusterError(Exception):
    """An error that a person at the terminal can act on; the command prints it without a traceback."""


class CommandError(ClusterError):
    """A program did not do what it was called for."""


class NotReadyError(ClusterError):
    """A deadline passed."""


class NotUpError(ClusterError):
    """There is no cluster to talk to."""


def with_log(message: str, log: Path) -> str:
    """Name the log file and quote its end, so that the first look is already in the error."""
    tail = tail_of(log)
    quoted = "\n".join(f"  | {line}" for line in tail) or "  | (empty)"
    return f"{message}\n  log: {log}\n{quoted}"


def tail_of(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """Read the last lines of a log that may be large, or not be there at all."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
