"""What this machine lacks, so that work-arounds are used only where they are needed."""

from __future__ import annotations

from pathlib import Path

CAP_SYS_RESOURCE = 24
"""Bit number from linux/capability.h."""


def effective(status: str) -> int:
    """The effective capabilities in the text of a /proc/PID/status."""
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)


def lacks_sys_resource() -> bool:
    """Whether limits and oom scores of other users' processes are out of reach."""
    return not effective(Path("/proc/self/status").read_text()) >> CAP_SYS_RESOURCE & 1
