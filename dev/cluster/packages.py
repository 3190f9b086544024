"""Debian packages that the host needs, installed only if their programs are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

from dev.cluster.commands import run_logged, say
from dev.cluster.errors import ClusterError

NEEDED = {
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""Program -> packages that bring it, for `up`."""

NEEDED_FOR_FILE_SYSTEMS = {"debootstrap": "debootstrap", "unshare": "util-linux"}
"""What making Debian file systems needs: for `up`, and for a tool that is borrowed from one without a cluster."""

NEEDED_FOR_BUILDS = {"buildah": "buildah"}
"""What only building an image from a Dockerfile needs."""


def missing(programs: dict[str, str]) -> list[str]:
    """Packages to install so that every program is there."""
    found: list[str] = []
    for program, packages in programs.items():
        if shutil.which(program) is None:
            found += [package for package in packages.split() if package not in found]
    return found


def ensure(programs: dict[str, str], log: Path) -> None:
    """Install what is missing; on a machine without apt, say what is."""
    packages = missing(programs)
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"install these first: {' '.join(packages)}")
    say(f"installing {' '.join(packages)} (once, about a minute)")
    run_logged(["apt-get", "update", "-q"], log=log, timeout_s=180)
    run_logged(
        [
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "-q",
            "-y",
            "--no-install-recommends",
            *packages,
        ],
        log=log,
        timeout_s=600,
    )
