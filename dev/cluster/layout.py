"""Names, addresses and paths of one instance, each made in exactly one place.

Pure: nothing here touches the machine. Whatever a name is given to here is ours, and `leftovers.py` may remove it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dev.cluster.settings import CONTAINERD_NEW, CONTAINERD_RESTORING, MAX_NODES, Settings

SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """One node's names, addresses and folders."""

    index: int
    name: str
    address: str
    pod_cidr: str
    netns: str
    link: str
    cgroup: str
    containerd: str
    """Its version. The first node has one without a restore of its own, the others one that restores images."""
    folder: Path
    log: Path

    @property
    def upper(self) -> Path:
        """The node's own changes over the shared file system; survives a restart, as a machine's disk does."""
        return self.folder / "upper"

    @property
    def etc(self) -> Path:
        """Keys and settings, seen by the node read-only as /opt/cluster."""
        return self.folder / "etc"

    @property
    def data(self) -> Path:
        """Bind-mounted below /var/lib: overlayfs cannot stack on the node's own overlay."""
        return self.folder / "data"


@dataclass(frozen=True, slots=True)
class Layout:
    """One instance's names, addresses and paths."""

    settings: Settings

    @property
    def state(self) -> Path:
        return self.settings.state

    @property
    def gateway(self) -> str:
        """The host's address on the bridge; API server and registries listen there."""
        return f"{self.settings.nodes_subnet}.0.1"

    @property
    def loopback(self) -> str:
        """A loopback address of this instance's own (all of 127/8 is local): no other etcd is in the way of ours."""
        return f"127.{self.settings.nodes_subnet}.1"

    @property
    def bridge(self) -> str:
        return f"{self.settings.instance}0"

    @property
    def pods_cidr(self) -> str:
        return f"{self.settings.pods_subnet}.0.0/16"

    @property
    def api_url(self) -> str:
        return f"https://{self.gateway}:6443"

    @property
    def registry(self) -> str:
        """The registry that anybody may read and write."""
        return f"{self.gateway}:5000"

    @property
    def private_registry(self) -> str:
        """The registry that wants a password."""
        return f"{self.gateway}:5001"

    @property
    def cgroup(self) -> str:
        """Parent of every cgroup of ours, in each hierarchy."""
        return self.settings.instance

    @property
    def control_cgroup(self) -> str:
        return f"{self.cgroup}/control"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def ca(self) -> Path:
        return self.pki / "ca.crt"

    @property
    def run(self) -> Path:
        """What was started: ids, settings of services, states of supervisors."""
        return self.state / "run"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def info(self) -> Path:
        return self.state / "cluster.json"

    @property
    def registry_password(self) -> Path:
        return self.state / "registry-password"

    @property
    def bin(self) -> Path:
        """Kubernetes' components by name, on the host and (as /opt/bin) on the nodes."""
        return self.state / "bin"

    def containerd(self, version: str) -> Path:
        """containerd's programs of one version, on its nodes /opt/containerd."""
        return self.state / "containerd" / version

    def node(self, index: int) -> NodeLayout:
        """Node `index`, counted from 1."""
        if not 1 <= index <= MAX_NODES:
            raise ValueError(f"nodes are numbered from 1 to {MAX_NODES}, not {index}")
        name = f"node{index}"
        return NodeLayout(
            index=index,
            name=name,
            address=f"{self.settings.nodes_subnet}.0.{10 + index}",
            pod_cidr=f"{self.settings.pods_subnet}.{index}.0/24",
            netns=f"{self.settings.instance}-{name}",
            link=f"{self.settings.instance}-n{index}",
            cgroup=f"{self.cgroup}/{name}",
            containerd=CONTAINERD_NEW if index == 1 else CONTAINERD_RESTORING,
            folder=self.state / "nodes" / name,
            log=self.log / name,
        )

    def all_nodes(self) -> list[NodeLayout]:
        """Every node that could ever be: what to look through for leftovers."""
        return [self.node(index) for index in range(1, MAX_NODES + 1)]

    def known_nodes(self) -> list[NodeLayout]:
        """The nodes that were made once and not forgotten."""
        return [node for node in self.all_nodes() if node.folder.is_dir()]
