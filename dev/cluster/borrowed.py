"""Programs of the nodes' Debian, run on the host: etcd, the registry, kubectl and others.

They are linked against a C library newer than the host's, so each is called through the loader of its own file system.
"""

from __future__ import annotations

from pathlib import Path

from dev.cluster.cache import Cache, key_of

BORROWED_TOOLS = {
    "kubectl": "kubectl",
    "skopeo": "skopeo",
    "checkpointctl-debian": "checkpointctl",
}
"""Name of a tool -> its program in the nodes' file system."""


def command(root: Path, program: str) -> list[str]:
    """The words that run a program of that file system here."""
    loader = next((root / "usr/lib64").glob("ld-linux*"))
    triplet = next((root / "usr/lib").glob("*-linux-gnu"))
    return [str(loader), "--library-path", str(triplet), "--argv0", program, str(root / "usr/bin" / program)]


def tool(cache: Cache, root: Path, name: str) -> Path:
    """A tool as one executable file, for people and scripts."""
    words = " ".join(f"'{word}'" for word in command(root, BORROWED_TOOLS[name]))
    script = f'#!/bin/sh\nexec {words} "$@"\n'

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    return cache.get(name, key_of(script), make) / name
