"""Bringing the cluster up, from nothing, from leftovers, or from a part that still runs; and taking it down.

Each step looks at what is there and does what is missing, so that `up` on a healthy cluster only looks.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dev.cluster import (
    borrowed,
    capabilities,
    control,
    crowd,
    debian,
    gobuild,
    images,
    info,
    leftovers,
    native,
    network,
    nodes,
    packages,
    processes,
    provision,
    sysctls,
)
from dev.cluster.api import Api, wait_for
from dev.cluster.cache import Cache, discard
from dev.cluster.commands import say
from dev.cluster.errors import ClusterError, NotReadyError, NotUpError, with_log
from dev.cluster.info import ClusterInfo, NodeInfo, RegistryInfo
from dev.cluster.layout import Layout, NodeLayout
from dev.cluster.oci import Image
from dev.cluster.pki import Authority
from dev.cluster.provision import NodeParts
from dev.cluster.push import Registry
from dev.cluster.settings import CONTAINERD_NEW, CONTAINERD_RESTORING

MARKER = ".ksnap-cluster"
"""Says that a folder is ours, so that forgetting data never empties somebody's home."""
API_READY_S = 180.0
NODES_READY_S = 240.0
"""Ten times what it takes, for machines that have other work to do as well."""
VERSIONED = ("criu", "runc", "etcd-server", "docker-registry", "kubectl")


class Cluster:
    """One instance, and the steps on it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.cache = Cache(layout.settings.cache)
        self.api = Api(layout.api_url.removeprefix("https://"), layout.pki)

    def up(self, count: int) -> ClusterInfo:
        """Bring up at least `count` nodes and wait until they are Ready."""
        began = time.monotonic()
        packages.ensure(packages.NEEDED, self.cache.log("packages"))
        root, built, kube, containerd = self._products()
        sysctls.note(self._sysctls)
        authority = control.certificates(self.layout)
        if not leftovers.is_running(self.layout, control.UNIT) or not network.link_exists(self.layout.bridge):
            self._start_control(root, kube, containerd)
        self._wait_api()
        pushed = images.push_all(Registry(self.layout.registry, self.layout.ca), built)
        parts = NodeParts(root, pushed["pause"], self._shim())
        wanted = [self.layout.node(index) for index in range(1, count + 1)]
        self._start_nodes(wanted, parts, authority)
        self._wait_nodes([node.name for node in wanted])
        found = self._describe(root, pushed, parts)
        info.write(self.layout, found)
        say(f"{len(found.nodes)} nodes are Ready after {time.monotonic() - began:.1f} s")
        return found

    def _products(self) -> tuple[Path, dict[str, Image], Path, dict[str, Path]]:
        """All that is slow to make. Compilers keep every core busy and downloads none: so both at once."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            compiled = pool.submit(lambda: (gobuild.kubernetes(self.cache), self._containerd()))
            composed = pool.submit(lambda: (debian.node_file_system(self.cache), images.build_all(self.cache)))
            kube, containerd = compiled.result()
            root, built = composed.result()
        return root, built, kube, containerd

    def _containerd(self) -> dict[str, Path]:
        return {version: gobuild.containerd(self.cache, version) for version in (CONTAINERD_RESTORING, CONTAINERD_NEW)}

    def restart_node(self, index: int, *, power_cut: bool) -> ClusterInfo:
        """Restart one node and wait until it is Ready again."""
        described = self._described()
        node = self.layout.node(index)
        described.node(node.name)
        if power_cut:
            leftovers.cut_power(self.layout, node)
        root = debian.node_file_system(self.cache)
        parts = NodeParts(root, described.images["pause"], self._shim())
        leftovers.clear_nodes(self.layout, [node])
        self._start_nodes([node], parts, control.certificates(self.layout))
        self._wait_nodes([node.name])
        found = self._describe(root, described.images, parts)
        info.write(self.layout, found)
        return found

    def _described(self) -> ClusterInfo:
        if not self.layout.info.exists() or not leftovers.is_running(self.layout, control.UNIT):
            raise NotUpError("the cluster does not run: `uv run python -m dev.cluster up` starts it")
        return info.parse(self.layout.info.read_text())

    def restart_control(self) -> None:
        """Restart the control plane under the running nodes, whose pods notice nothing."""
        self._described()
        root = debian.node_file_system(self.cache)
        kube, containerd = gobuild.kubernetes(self.cache), self._containerd()
        control.certificates(self.layout)
        self._start_control(root, kube, containerd)
        self._wait_api()

    def down(self) -> None:
        """End everything; data stays."""
        crowd.end(self.layout)
        leftovers.clear_all(self.layout)
        self.layout.info.unlink(missing_ok=True)
        sysctls.put_back(self._sysctls)

    def forget(self) -> None:
        """Remove the data of a cluster that is down."""
        if (self.layout.state / MARKER).exists():
            for path in self.layout.state.iterdir():
                if path.name not in (MARKER, "lock"):
                    discard(path)

    @property
    def _sysctls(self) -> Path:
        return self.layout.state / "sysctls.json"

    def _shim(self) -> Path | None:
        return native.limits_shim(self.cache) if capabilities.lacks_sys_resource() else None

    def _start_control(self, root: Path, kube: Path, containerd: dict[str, Path]) -> None:
        if network.link_exists(self.layout.bridge):
            leftovers.clear_control(self.layout)  # Nodes keep running without their API server, as anywhere.
        else:
            leftovers.clear_all(self.layout)
        self.layout.run.mkdir(parents=True, exist_ok=True)
        control.link_components(self.layout, kube, containerd, gobuild.KUBE_COMPONENTS)
        network.create_bridge(self.layout)
        control.start(self.layout, root)

    def _wait_api(self) -> None:
        def ready() -> bool:
            self._expect_running(control.UNIT)
            return self.api.ready()

        log = self.layout.log / control.UNIT / "kube-apiserver.log"
        wait_for("API server ready", ready, timeout_s=API_READY_S, explain=lambda: with_log("its last words", log))

    def _expect_running(self, unit: str) -> None:
        """Fail at once, rather than at a deadline, when what we wait for cannot come any more."""
        outer = processes.load(control.record(self.layout, unit))
        if outer is None or not outer.alive():
            raise NotReadyError(with_log(f"{unit} ended", self.layout.log / unit / "supervisor.log"))

    def _start_nodes(self, wanted: list[NodeLayout], parts: NodeParts, authority: Authority) -> None:
        missing = [node for node in wanted if not self._is_whole(node)]
        if missing and parts.limits_shim is not None:
            say("this machine lacks CAP_SYS_RESOURCE: CRIU reads limits through a shim, oom scores are left alone")
        leftovers.clear_nodes(self.layout, missing)
        for node in missing:
            self.api.forget_ready(node.name)
            provision.provision(self.layout, node, parts, authority)
            nodes.start(self.layout, node, parts)

    def _is_whole(self, node: NodeLayout) -> bool:
        """Whether a node runs, has its link and knows our authority: else it could never become Ready."""
        trusted = node.etc / "ca.crt"
        trusts_us = trusted.exists() and trusted.read_bytes() == self.layout.ca.read_bytes()
        return trusts_us and leftovers.is_running(self.layout, node.name) and network.link_exists(node.link)

    def _wait_nodes(self, names: list[str]) -> None:
        def ready() -> bool:
            for name in names:
                self._expect_running(name)
            states = self.api.nodes()
            return all(states.get(name, False) for name in names)

        def explain() -> str:
            states = self.api.nodes()
            late = [name for name in names if not states.get(name, False)]
            return "\n".join(with_log(f"{name} is not Ready", self.layout.log / name / "kubelet.log") for name in late)

        wait_for("nodes Ready", ready, timeout_s=NODES_READY_S, explain=explain)

    def _describe(self, root: Path, pushed: dict[str, str], parts: NodeParts) -> ClusterInfo:
        running = [node for node in self.layout.known_nodes() if leftovers.is_running(self.layout, node.name)]
        debian_versions = debian.package_versions(root, VERSIONED)
        ca = self.layout.ca
        return ClusterInfo(
            instance=self.layout.settings.instance,
            kubeconfig=self.layout.kubeconfig,
            api_server=self.layout.api_url,
            ca_file=ca,
            registries={
                "open": RegistryInfo(self.layout.registry, ca),
                "private": RegistryInfo(self.layout.private_registry, ca, "ksnap", self.layout.registry_password),
            },
            images=pushed,
            nodes=tuple(self._describe_node(node) for node in running),
            versions={
                "kubernetes": gobuild.kubernetes_version(),
                **debian_versions,
            },
            tools={"kubectl": borrowed.tool(self.cache, root, "kubectl")},
            limits_shim=parts.limits_shim is not None,
        )

    def _describe_node(self, node: NodeLayout) -> NodeInfo:
        outer = processes.load(control.record(self.layout, node.name))
        inner = nodes.leader(self.layout, node.name)
        if outer is None:
            raise NotUpError(f"{node.name} does not run")
        return NodeInfo(node.name, node.address, outer.pid, inner.pid, node.containerd, node.log)


@contextmanager
def locked(layout: Layout) -> Iterator[Cluster]:
    """The instance, for one command at a time; refuses a folder that somebody uses for something else."""
    if os.geteuid() != 0 or sys.platform != "linux":
        raise ClusterError("needs root on Linux: nodes are namespaces, mounts and cgroups of this machine")
    state = layout.state
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (state / MARKER).exists() and any(path.name != "lock" for path in state.iterdir()):
        raise ClusterError(
            f"{state} holds something that is not a cluster of ours; set KSNAP_CLUSTER_DIR to another folder"
        )
    (state / MARKER).touch()
    descriptor = os.open(state / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Cluster(layout)
    finally:
        os.close(descriptor)
