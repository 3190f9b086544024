"""Turns fresh namespaces (mount, PID, UTS, IPC, network) into a node, then becomes its supervisor.

    boot.py PLAN

PLAN is a JSON file: `{"hostname", "lower", "upper", "work", "root", "cgroups", "binds", "read_only", "argv"}`.
Standard library only. It begins on the host's file system and Python and ends, by exec, on the node's: everything it
needs is imported before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def command(*argv: str | Path) -> None:
    """Run one program that must succeed; its complaint goes to our log."""
    subprocess.run([str(word) for word in argv], check=True, timeout=30)


def join_cgroups(folders: list[str]) -> None:
    """Enter our cgroups first, so that whatever follows can be found by them, even if everything else is lost."""
    for folder in folders:
        (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))


def make_root(plan: dict[str, Any]) -> Path:
    """Lay the node's own changes over the shared file system, and mount what every Linux needs."""
    root = Path(plan["root"])
    command("mount", "--make-rprivate", "/")
    options = f"lowerdir={plan['lower']},upperdir={plan['upper']},workdir={plan['work']}"
    command("mount", "-t", "overlay", "overlay", "-o", options, root)
    command("mount", "-t", "proc", "proc", root / "proc")
    command("mount", "--rbind", "/sys", root / "sys")
    command("mount", "--rbind", "/dev", root / "dev")
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "run")
    command("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
    for source, target in plan["binds"].items():
        place = root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        command("mount", "--bind", source, place)
        if target in plan["read_only"]:
            command("mount", "-o", "remount,bind,ro", place)
    # Volumes that the kubelet mounts must be seen by the containers' own mount namespaces.
    command("mount", "--make-shared", root / "var/lib/kubelet")
    return root


def pivot(root: Path) -> None:
    """Make it the root. CRIU needs a real one: with a chroot it finds its mounts wrong."""
    os.chdir(root)
    Path("old").mkdir(exist_ok=True)
    command("pivot_root", ".", "old")
    os.chdir("/")
    command("umount", "--lazy", "/old")
    command("mount", "--make-rshared", "/")


def main(plan_file: str) -> None:
    plan = json.loads(Path(plan_file).read_text())
    join_cgroups(plan["cgroups"])
    if "root" in plan:
        root = make_root(plan)
        command("hostname", plan["hostname"])
        pivot(root)
    os.execv(plan["argv"][0], plan["argv"])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1])
