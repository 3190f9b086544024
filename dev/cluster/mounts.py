"""Mounts in the host's own mount namespace. Ours live in nodes' namespaces, so one found here is a leftover."""

from __future__ import annotations

import re
from pathlib import Path

from dev.cluster.commands import run

MOUNTINFO = Path("/proc/self/mountinfo")


def parse_mount_points(mountinfo: str) -> list[Path]:
    """Mount points in the order they were mounted; the kernel writes blanks in names as octal."""
    fields = (line.split(" ")[4] for line in mountinfo.splitlines())
    return [Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)) for field in fields]


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below a folder, the last mounted first: the order in which they can be unmounted."""
    points = parse_mount_points(MOUNTINFO.read_text())
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below a folder, before the folder is removed: never delete through a mount."""
    for point in mounts_below(folder.absolute()):
        run(["umount", "--lazy", point])
