"""Where the running cluster is and how to reach it: the one thing that tests, demo and benchmarks import.

cluster = load()
cluster.images["webapp"]
node_exec(cluster.node("node1"), ["crictl", "ps"])
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.cluster import control, kubeconfig, nodes, processes
from dev.cluster.errors import CommandError, NotUpError
from dev.cluster.layout import Layout
from dev.cluster.settings import CONTAINERD_RESTORING, Settings, read_settings

NODE_PATH = "/opt/containerd:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class RegistryInfo:
    """A registry of the cluster's; both speak TLS and allow deletes."""

    host: str
    ca_file: Path
    username: str = ""
    """Empty where nobody is asked for a password."""
    password_file: Path | None = None

    def password(self) -> str:
        """Read the password; empty where none is needed."""
        return self.password_file.read_text() if self.password_file else ""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node, and the processes that are it."""

    name: str
    address: str
    pid: int
    """Outermost process, on the host. Ending it ends the node at once, as cutting its power would."""
    leader_pid: int
    """First process inside: its /proc entry is the way into the node's namespaces."""
    containerd: str
    """Its containerd's version, such as `v2.1.9`."""
    log: Path
    """Folder of its services' logs (`kubelet.log`, `containerd.log`, ...), which is also its /var/log."""

    @property
    def restores_images(self) -> bool:
        """Whether its containerd restores a container from a checkpoint image."""
        return self.containerd == CONTAINERD_RESTORING

    def path(self, inside: str) -> Path:
        """A path of the node's file system, as the host reaches it."""
        return Path(f"/proc/{self.leader_pid}/root") / inside.lstrip("/")


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster as `up` left it."""

    instance: str
    kubeconfig: Path
    api_server: str
    ca_file: Path
    registries: dict[str, RegistryInfo]
    """`open` and `private`."""
    images: dict[str, str]
    """Name (`pause`, `counter`, `webapp`, `debian-python`) -> full reference with digest."""
    nodes: tuple[NodeInfo, ...]
    versions: dict[str, str]
    tools: dict[str, Path]
    """Programs that `up` has at hand anyway: `kubectl`."""
    limits_shim: bool
    """Whether CRIU runs with our shim, for want of CAP_SYS_RESOURCE."""

    def node(self, name: str) -> NodeInfo:
        """A node by its name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NotUpError(f"no node {name!r}; there are {', '.join(node.name for node in self.nodes)}")


def load(settings: Settings | None = None) -> ClusterInfo:
    """Read the description of the running cluster; says how to start one if there is none."""
    layout = Layout(settings or read_settings())
    try:
        info = parse(layout.info.read_text())
    except FileNotFoundError as error:
        raise NotUpError(f"no cluster at {layout.state}: start one by `uv run python -m dev.cluster up`") from error
    for node in info.nodes:
        recorded = processes.load(control.record(layout, node.name))
        if recorded is None or recorded.pid != node.pid or not recorded.alive():
            raise NotUpError(f"{node.name} does not run any more: `uv run python -m dev.cluster up` starts it again")
    return info


def write(layout: Layout, info: ClusterInfo) -> None:
    """Publish the description."""
    kubeconfig.write_private(layout.info, dump(info))


def dump(info: ClusterInfo) -> str:
    """The description as JSON."""
    return json.dumps(asdict(info), indent=1, default=str)


def parse(text: str) -> ClusterInfo:
    """The description from JSON."""
    raw = json.loads(text)
    return ClusterInfo(
        instance=raw["instance"],
        kubeconfig=Path(raw["kubeconfig"]),
        api_server=raw["api_server"],
        ca_file=Path(raw["ca_file"]),
        registries={
            name: RegistryInfo(
                host=item["host"],
                ca_file=Path(item["ca_file"]),
                username=item["username"],
                password_file=Path(item["password_file"]) if item["password_file"] else None,
            )
            for name, item in raw["registries"].items()
        },
        images=dict(raw["images"]),
        nodes=tuple(NodeInfo(**{**item, "log": Path(item["log"])}) for item in raw["nodes"]),
        versions=dict(raw["versions"]),
        tools={name: Path(path) for name, path in raw["tools"].items()},
        limits_shim=raw["limits_shim"],
    )


def node_exec(node: NodeInfo, argv: Sequence[str], *, timeout_s: float = 60, check: bool = True) -> str:
    """Run a command inside a node, in all of its namespaces, and return its stdout."""
    words = [*nodes.enter(node.leader_pid), *argv]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout_s, check=False, env={"PATH": NODE_PATH, "HOME": "/root"}
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise CommandError(f"{node.name}: {' '.join(argv)}: exit code {done.returncode}\n{said}")
    return done.stdout
