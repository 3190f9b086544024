"""npm packages of a project in this tree, installed outside the checkout as its lock says."""

import shutil
from pathlib import Path

from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run, run_logged, say
from dev.cluster.settings import read_settings

PROJECT = ("package.json", "package-lock.json")
INSTALL_LIMIT_S = 600.0


def packages(project: Path) -> Path:
    """The `node_modules` of a project's folder, made first if nobody has."""
    cache = Cache(read_settings().cache)
    files = [project / name for name in PROJECT]

    def make(folder: Path) -> None:
        say(f"installing the npm packages of {project.name} (once, seconds)")
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
        # No package gets to run a script of its own here: none of those that tests need has a reason to.
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        run_logged(command, log=cache.log("npm"), timeout_s=INSTALL_LIMIT_S, cwd=folder)

    return cache.get("npm", key_of(*files, run(["node", "--version"])), make) / "node_modules"
