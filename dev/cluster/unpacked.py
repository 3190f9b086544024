"""Programs out of Debian packages that are unpacked and not installed: installed they would start as services.

The package is the host's suite's, so that the program finds its libraries here. It stays as it was fetched until the
cache is deleted.
"""

from __future__ import annotations

from pathlib import Path

from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run_logged, say

UNPACKED_TOOLS = {"prometheus": "usr/bin/prometheus"}
"""Package -> its program."""


def tool(cache: Cache, name: str) -> Path:
    """The program as an executable file, fetched first if nobody has."""
    program = UNPACKED_TOOLS[name]

    def make(folder: Path) -> None:
        say(f"fetching {name} (once, seconds)")
        folder.mkdir()
        log = cache.log(name)
        run_logged(["apt-get", "update", "-q"], log=log, timeout_s=180)
        # As root: its own user may not write here.
        fetch = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", name]
        run_logged(fetch, log=log, timeout_s=300, cwd=folder)
        for package in folder.glob("*.deb"):
            run_logged(["dpkg", "-x", package, folder], log=log, timeout_s=120)
            package.unlink()

    return cache.get(name, key_of(name), make) / program
