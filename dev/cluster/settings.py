"""What can be set from outside, and the versions that are pinned.

The environment is read here and nowhere else in this package.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.errors import ClusterError

CONTAINERD_RESTORING = "v2.1.9"
"""The last line of containerd whose CRI plugin restores checkpoint images by itself; Debian's moves past it."""

CONTAINERD_NEW = "v2.4.2"
"""A line that has no restore of its own left."""

NODE_SUITE = "sid"
"""Debian's release of the nodes: the one whose CRIU works on new kernels, and that has runc, etcd and kubectl."""

IMAGE_SUITE = "bookworm"
"""Debian's release inside images: its Python 3.11 equals the project's, so that wheels made on the host fit."""

PROGRAM_SUITE = "trixie"
"""Debian's release of the programs that tests freeze: its libuv tries io_uring, as bookworm's does not yet."""

MAX_NODES = 9
"""Routes between nodes are laid once for this many, so that adding a node changes nothing on the others."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance of the cluster: what it is called, where it lives, which addresses it takes."""

    instance: str
    """Prefix of every bridge, network namespace and cgroup that is ours. Two instances never meet."""

    nodes_subnet: str
    """First two numbers of the nodes' network, `10.77` for 10.77.0.0/24; the host has `.0.1`."""

    pods_subnet: str
    """First two numbers of the pods' networks, `10.78` for 10.78.<node>.0/24."""

    cache: Path
    """Slow products, keyed by content. Deleting it costs time and nothing else. Shared by all instances."""

    state: Path
    """Everything of this instance: keys, data, logs. Deleting it (while down) forgets the cluster."""


def read_settings(environ: dict[str, str] | None = None) -> Settings:
    """Read the environment once; every default is a place of the user's own outside the checkout."""
    env = dict(os.environ) if environ is None else environ
    home = Path(env.get("HOME", "/root"))
    instance = env.get("KSNAP_CLUSTER_INSTANCE", "ksnap")
    if not re.fullmatch(r"[a-z][a-z0-9]{0,8}", instance):
        # An interface's name holds 15 characters, and ours add "-n1" or "0" to the instance.
        raise ClusterError(f"KSNAP_CLUSTER_INSTANCE={instance!r}: need one to nine of a-z and 0-9, a letter first")
    subnet = env.get("KSNAP_CLUSTER_SUBNET", "10.77")
    first, second = _parse_subnet(subnet)
    cache = env.get("KSNAP_CACHE_DIR") or str(Path(env.get("XDG_CACHE_HOME") or home / ".cache") / "ksnap")
    states = Path(env.get("XDG_STATE_HOME") or home / ".local" / "state") / "ksnap"
    name = "cluster" if instance == "ksnap" else f"cluster-{instance}"
    state = env.get("KSNAP_CLUSTER_DIR") or str(states / name)
    return Settings(
        instance=instance,
        nodes_subnet=f"{first}.{second}",
        pods_subnet=f"{first}.{second + 1}",
        cache=Path(cache).absolute(),
        state=Path(state).absolute(),
    )


def _parse_subnet(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text)
    if match is None or int(match[1]) > 223 or not 0 <= int(match[2]) < 255:
        raise ClusterError(
            f"KSNAP_CLUSTER_SUBNET={text!r}: need two numbers such as 10.77; the next one up is the pods'"
        )
    return int(match[1]), int(match[2])
