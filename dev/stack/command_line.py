"""The installed `ksnap`, called as a person or a script would: a process, JSON on its stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from dev.cluster.errors import CommandError
from dev.cluster.info import ClusterInfo
from dev.stack.server import Server


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`ksnap` with a login of its own, apart from the user's."""

    config: Path
    """Folder that takes the place of ~/.config."""
    server: str

    def __call__(self, *words: str, timeout_s: float = 600) -> Any:
        """Run one verb and parse what it says; its progress and errors go to our stderr."""
        env = {**os.environ, "XDG_CONFIG_HOME": str(self.config), "KSNAP_SERVER": self.server}
        program = Path(sys.executable).with_name("ksnap")
        argv = [str(program), *words, "--output", "json"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, env=env, timeout=timeout_s, check=False)
        if done.returncode != 0:
            raise CommandError(f"ksnap {' '.join(words)}: exit code {done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip() else None


def log_in(server: Server, cluster: ClusterInfo, *, name: str) -> CommandLine:
    """The administrator's command line; the server knows the cluster as `name`, and its registry with a password.

    What an earlier run told it of the cluster is replaced: addresses and passwords may have changed since. A registry
    gets a name of its own each time, since the server keeps a registry's configuration while checkpoints lie there.
    """
    ksnap = CommandLine(server.folder / "config", server.url)
    ksnap("login", "--username", "admin", "--password-file", str(server.password_file))
    for each in ksnap("cluster", "list"):
        ksnap("cluster", "remove", each["name"])
    known = {each["name"] for each in ksnap("registry", "list")}
    new = next(each for each in (f"dev-{number}" for number in count(1)) if each not in known)
    registry = cluster.registries["private"]
    account = ["--username", registry.username, "--password-file", str(registry.password_file)]
    ksnap("registry", "add", new, registry.host, *account, "--registry-ca", str(registry.ca_file))
    ksnap("cluster", "add", name, "--kubeconfig", str(cluster.kubeconfig), "--registry", new)
    return ksnap
