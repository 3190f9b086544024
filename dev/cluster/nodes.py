"""A node: namespaces and a file system of its own, where a supervisor runs containerd, kube-proxy and the kubelet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dev.cluster import cgroups, control, network, processes
from dev.cluster.control import GUEST, Service, record
from dev.cluster.errors import NotUpError
from dev.cluster.layout import Layout, NodeLayout
from dev.cluster.processes import ProcessId
from dev.cluster.provision import NodeParts

STATE = Path("run/supervisor.json")
"""Where a node's supervisor reports, inside the node."""

NAMESPACES = ("--mount", "--pid", "--uts", "--ipc")


def start(layout: Layout, node: NodeLayout, parts: NodeParts) -> ProcessId:
    """Start a provisioned node; returns at once, it becomes Ready in its own time."""
    network.create_node(layout, node)
    shutil.copyfile(GUEST / "supervisor.py", node.etc / "supervisor.py")
    spec = {"state": f"/{STATE}", "services": [service.spec("/var/log") for service in _services(layout, node)]}
    (node.etc / "services.json").write_text(json.dumps(spec, indent=1))
    plan: dict[str, object] = {
        "hostname": node.name,
        "lower": str(parts.root),
        "upper": str(node.upper),
        "work": str(node.folder / "work"),
        "root": str(node.folder / "root"),
        "cgroups": [str(leaf) for leaf in cgroups.create(node.cgroup)],
        "binds": {
            str(node.data / "containerd"): "/var/lib/containerd",
            str(node.data / "kubelet"): "/var/lib/kubelet",
            str(node.log): "/var/log",
            str(node.etc): "/opt/cluster",
            str(layout.bin): "/opt/bin",
            str(layout.containerd(node.containerd)): "/opt/containerd",
        },
        "read_only": ["/opt/cluster", "/opt/bin", "/opt/containerd"],
        "argv": ["/usr/bin/python3", "/opt/cluster/supervisor.py", "/opt/cluster/services.json"],
    }
    # unshare stays outside as the parent of the node's first process, and its end would be the node's end.
    enter = ["nsenter", f"--net={network.NETNS / node.netns}", "unshare", *NAMESPACES, "--fork", "--kill-child"]
    return control.launch(layout, node.name, plan, enter)


def leader(layout: Layout, unit: str) -> ProcessId:
    """The first process inside a unit's namespaces: the supervisor."""
    outer = processes.load(record(layout, unit))
    if outer is not None and outer.alive():
        for child in processes.children(outer.pid):
            inner = processes.identify(child)
            if inner is not None:
                return inner
    raise NotUpError(f"{unit} does not run")


def enter(leader_pid: int) -> list[str]:
    """Words before a command that is to run in a node: all of its namespaces, or pods' networks end up on the host."""
    return ["nsenter", f"--target={leader_pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--wdns=/", "--"]


def _services(layout: Layout, node: NodeLayout) -> list[Service]:
    return [
        Service("containerd", ["containerd"], ready="unix:/run/containerd/containerd.sock"),
        Service(
            "kubelet",
            [
                "kubelet",
                "--config=/etc/kubernetes/kubelet.json",
                "--kubeconfig=/opt/cluster/kubelet.kubeconfig",
                f"--node-ip={node.address}",
                f"--hostname-override={node.name}",
            ],
        ),
        Service(
            "kube-proxy",
            [
                "kube-proxy",
                "--kubeconfig=/opt/cluster/kube-proxy.kubeconfig",
                "--proxy-mode=nftables",
                f"--cluster-cidr={layout.pods_cidr}",
                f"--hostname-override={node.name}",
                # Tables of connections are the host's, and not ours to size.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
            ],
        ),
    ]
