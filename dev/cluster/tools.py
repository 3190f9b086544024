"""Tools for people, tests and benchmarks: built from Go modules, borrowed from the nodes' Debian, or unpacked from the
host's."""

from __future__ import annotations

from pathlib import Path

from dev.cluster import borrowed, debian, gobuild, unpacked
from dev.cluster.cache import Cache
from dev.cluster.errors import ClusterError
from dev.cluster.settings import read_settings


def tool(name: str) -> Path:
    """The path of a tool as one executable file, made first if nobody has."""
    cache = Cache(read_settings().cache)
    if name in gobuild.TOOLS:
        return gobuild.tool(cache, name)
    if name in borrowed.BORROWED_TOOLS:
        return borrowed.tool(cache, debian.node_file_system(cache), name)
    if name in unpacked.UNPACKED_TOOLS:
        return unpacked.tool(cache, name)
    known = sorted([*gobuild.TOOLS, *borrowed.BORROWED_TOOLS, *unpacked.UNPACKED_TOOLS])
    raise ClusterError(f"no tool {name!r}; there are {', '.join(known)}")
