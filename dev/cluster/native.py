"""The two small C programs of the cluster (sources in `native_src/`), compiled when first needed."""

from __future__ import annotations

from pathlib import Path

from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run

SOURCES = Path(__file__).parent / "native_src"


def pause(cache: Cache) -> Path:
    """The process of a pod's sandbox, static: its image holds nothing else."""
    return _compiled(cache, "pause", "-static", "-Os", "-s")


def limits_shim(cache: Cache) -> Path:
    """The library that lets CRIU freeze non-root processes without CAP_SYS_RESOURCE."""
    return _compiled(cache, "limits", "-shared", "-fPIC", "-O2", "-s")


def _compiled(cache: Cache, name: str, *flags: str) -> Path:
    source = SOURCES / f"{name}.c"

    def make(binary: Path) -> None:
        run(["gcc", "-Wall", "-Wextra", *flags, "-o", binary, source], timeout_s=60)

    return cache.get(name, key_of(source, *flags), make)
