"""Our cgroups: one parent per instance in every hierarchy, below it `control` and one per node.

They limit nothing. They give each kubelet a root of its own, and they are how leftovers of a killed run are found: a
process in a cgroup of ours is ours, whatever else was lost. Both versions of cgroups are served.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from dev.cluster.errors import NotReadyError
from dev.cluster.processes import ProcessId, identify

ROOT = Path("/sys/fs/cgroup")
SYSTEM = "system"
"""Leaf for the services themselves: with v2 a cgroup that hands out controllers may hold no process."""


def unified(root: Path = ROOT) -> bool:
    """Whether the machine has cgroups v2."""
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Where trees of cgroups begin: one for v2, one per controller for v1."""
    return [tree for tree in trees(root) if tree.name != "unified"]


def trees(root: Path = ROOT) -> list[Path]:
    """The hierarchies and, with v1, the one without controllers, in which runc makes cgroups by the same names."""
    if unified(root):
        return [root]
    return sorted(path for path in root.iterdir() if (path / "cgroup.procs").exists())


def create(name: str) -> list[Path]:
    """Make a cgroup such as `ksnap/node1` with its leaf `system`, and return the leaf's folder in each hierarchy."""
    leaves = []
    for top in hierarchies():
        folder = top
        for part in (*name.split("/"), SYSTEM):
            _hand_down(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
            _inherit_cpuset(folder)
        leaves.append(folder)
    return leaves


def _hand_down(folder: Path) -> None:
    """v2: let children have the controllers that this cgroup has."""
    control = folder / "cgroup.subtree_control"
    if not unified() or not control.exists():
        return
    wanted = (folder / "cgroup.controllers").read_text().split()
    control.write_text(" ".join(f"+{controller}" for controller in wanted))


def _inherit_cpuset(folder: Path) -> None:
    """v1: a cpuset is born empty, and an empty one takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if not unified() and file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())


def members(name: str) -> list[ProcessId]:
    """Every process in a cgroup or below it, in any hierarchy."""
    pids: set[int] = set()
    for folder in _folders(name):
        pids.update(int(pid) for pid in _read(folder / "cgroup.procs").split())
    found = [identify(pid) for pid in pids - {0, os.getpid()}]
    return [process for process in found if process is not None]


def _folders(name: str) -> Iterator[Path]:
    """A cgroup and all below it, in every tree. Others may vanish meanwhile, which os.walk takes in its stride."""
    for tree in trees():
        for folder, _, _ in os.walk(tree / name):
            yield Path(folder)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""  # Gone since it was listed, or of a kind that lists no processes.


def thaw(name: str) -> None:
    """Let frozen processes run: a freeze that was interrupted would keep them from dying."""
    for folder in _folders(name):
        for file, running in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                if (folder / file).exists():
                    (folder / file).write_text(running)
            except OSError:
                continue  # Gone in between, and its processes with it.


def remove(name: str, *, patience_s: float = 10.0) -> None:
    """Remove a cgroup with all below it. Its processes are gone, but the kernel may take a moment to notice."""
    deadline = time.monotonic() + patience_s
    for top in trees():
        while (top / name).exists():
            if _remove_tree(top / name):
                break
            if time.monotonic() > deadline:
                raise NotReadyError(f"cannot remove cgroup {top / name}: still in use")
            time.sleep(0.1)


def _remove_tree(top: Path) -> bool:
    """Remove folders bottom up; false if one was busy."""
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
