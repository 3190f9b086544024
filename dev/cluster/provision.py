"""What makes Debian's file system a node: settings of containerd, the kubelet and CNI, the cluster's CA, CRIU's shim.

All of it is written into the node's own layer (the overlay's upper folder) while the node is off, as an installer
would. The layer is kept as long as these inputs stay the same, so that what the product installs on a node survives a
restart.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import kubeconfig
from dev.cluster.cache import discard, key_of
from dev.cluster.layout import Layout, NodeLayout
from dev.cluster.pki import Authority

FORMAT = "2"
"""Raise it when the code below writes another layer for the same inputs."""

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
CRIU = Path("usr/sbin/criu")


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What nodes are made of."""

    root: Path
    """Debian's file system, shared and read-only."""

    pause: str
    """Full reference of the sandboxes' image."""

    limits_shim: Path | None
    """Library to preload into CRIU; None where the machine has CAP_SYS_RESOURCE."""


def provision(layout: Layout, node: NodeLayout, parts: NodeParts, authority: Authority) -> None:
    """Bring a node's layer and its folder of keys up to date."""
    for folder in ("work", "root", "etc", "data/containerd", "data/kubelet"):
        (node.folder / folder).mkdir(parents=True, exist_ok=True)
    (node.log / "pods").mkdir(parents=True, exist_ok=True)
    (node.log / "containers").mkdir(exist_ok=True)
    _write_keys(layout, node, authority)
    files = _files(layout, node, parts)
    key = key_of(FORMAT, parts.root.name, json.dumps(files), str(parts.limits_shim))
    stamp = node.folder / "layer"
    if stamp.exists() and stamp.read_text() == key and node.upper.is_dir():
        return
    stamp.unlink(missing_ok=True)
    discard(node.upper)
    discard(node.folder / "work")
    (node.folder / "work").mkdir()
    _write_layer(node.upper, files, parts)
    stamp.write_text(key)


def _write_keys(layout: Layout, node: NodeLayout, authority: Authority) -> None:
    authority.issue(
        node.name,
        common_name=f"system:node:{node.name}",
        organization="system:nodes",
        names=[node.address, node.name],
    )
    kubeconfig.write(node.etc / "kubelet.kubeconfig", server=layout.api_url, pki=layout.pki, client=node.name)
    shutil.copyfile(layout.ca, node.etc / "ca.crt")
    for source, target in ((f"{node.name}.crt", "kubelet.crt"), (f"{node.name}.key", "kubelet.key")):
        shutil.copy2(layout.pki / source, node.etc / target)
    shutil.copy2(layout.pki / "kube-proxy.kubeconfig", node.etc / "kube-proxy.kubeconfig")


def _write_layer(upper: Path, files: dict[str, str], parts: NodeParts) -> None:
    for name, content in files.items():
        file = upper / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for folder in (
        "etc/containerd/conf.d",
        "etc/containerd/certs.d",
        "etc/criu",
        "opt/cluster",
        "opt/bin",
        "opt/containerd",
        "old",
    ):
        (upper / folder).mkdir(parents=True, exist_ok=True)
    if parts.limits_shim is not None:
        _divert_criu(upper, parts.root, parts.limits_shim)


def _divert_criu(upper: Path, root: Path, shim: Path) -> None:
    """Put a wrapper in CRIU's place, so that every caller on the node gets the shim, whatever its PATH."""
    real = CRIU.with_name("criu.real")
    library = Path("usr/lib/ksnap-limits.so")
    for file in (upper / CRIU, upper / library):
        file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(root / CRIU, upper / real)
    shutil.copy2(shim, upper / library)
    (upper / CRIU).write_text(f'#!/bin/sh\nLD_PRELOAD=/{library} exec /{real} "$@"\n')
    (upper / CRIU).chmod(0o755)


def _files(layout: Layout, node: NodeLayout, parts: NodeParts) -> dict[str, str]:
    return {
        "etc/hostname": f"{node.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{node.address} {node.name}\n",
        "etc/containerd/config.toml": _containerd(parts),
        "etc/cni/net.d/10-pods.conflist": json.dumps(_cni(node), indent=1),
        "etc/kubernetes/kubelet.json": json.dumps(_kubelet(node), indent=1),
        # containerd restores a checkpoint image by pulling its base image with the system's trust and nothing else.
        str(BUNDLE): (parts.root / BUNDLE).read_text() + layout.ca.read_text(),
    }


def _containerd(parts: NodeParts) -> str:
    restricted = "true" if parts.limits_shim is not None else "false"
    return f"""\
version = 3
imports = ['/etc/containerd/conf.d/*.toml']

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{parts.pause}'

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/containerd/certs.d'

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE no process may lower its oom score, and every sandbox would fail over it.
restrict_oom_score_adj = {restricted}

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '/etc/cni/net.d'
"""


def _cni(node: NodeLayout) -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pod_cidr}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    # In /run, so that a restarted node starts counting anew: its old pods' networks are gone with it.
                    "dataDir": "/run/cni/networks",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(node: NodeLayout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/opt/cluster/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/opt/cluster/kubelet.crt",
        "tlsPrivateKeyFile": "/opt/cluster/kubelet.key",
        # `clusterDNS` stays unset: no DNS service runs here.
        "clusterDomain": "cluster.local",
        # The disk is the host's: its fill level says nothing about these pods, and images here cost nothing to keep.
        "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "shutdownGracePeriod": "0s",
    }
