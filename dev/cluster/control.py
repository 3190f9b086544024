"""The control plane: registries, etcd, API server, controllers and scheduler, on the host, under one supervisor.

It lives in a PID namespace of its own, so that its end is everybody's end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.cluster import borrowed, cgroups, processes, registries
from dev.cluster.kubeconfig import write as write_kubeconfig
from dev.cluster.layout import KUBERNETES_SERVICE_IP, SERVICE_CIDR, Layout
from dev.cluster.pki import Authority, make_signing_key
from dev.cluster.processes import ProcessId

GUEST = Path(__file__).parent / "guest"
UNIT = "control"
FRONT_PROXY = "front-proxy-client"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Service:
    """One program for the supervisor to run."""

    name: str
    argv: list[str]
    ready: str = ""
    """What must answer before the next service starts; see the supervisor."""
    ready_ca: str = ""

    def spec(self, log: str) -> dict[str, object]:
        """As the supervisor reads it."""
        env = {"PATH": f"/opt/containerd:/opt/bin:{PATH}", "HOME": "/root"}
        return {**asdict(self), "log": f"{log}/{self.name}.log", "env": env}


def certificates(layout: Layout) -> Authority:
    """Everything that the control plane signs or shows."""
    authority = Authority(layout.pki)
    make_signing_key(layout.pki)
    names = [layout.gateway, KUBERNETES_SERVICE_IP, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    authority.issue("apiserver", common_name="kube-apiserver", names=names)
    authority.issue("registry", common_name="registry", names=[layout.gateway])
    authority.issue("admin", common_name="admin", organization="system:masters")
    authority.issue("kubelet-client", common_name="kubelet-client", organization="system:masters")
    authority.issue("front-proxy", common_name=FRONT_PROXY)
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        authority.issue(name, common_name=f"system:{name}")
        write_kubeconfig(layout.pki / f"{name}.kubeconfig", server=layout.api_url, pki=layout.pki, client=name)
    write_kubeconfig(layout.kubeconfig, server=layout.api_url, pki=layout.pki, client="admin")
    return authority


def start(layout: Layout, node_root: Path) -> ProcessId:
    """Start all services; returns at once, they become ready in their own time."""
    services = [*_registries(layout, node_root), _etcd(layout, node_root)]
    services += [_apiserver(layout), _controllers(layout), _scheduler(layout)]
    log = layout.log / UNIT
    log.mkdir(parents=True, exist_ok=True)
    spec = {"state": str(state_file(layout)), "services": [service.spec(str(log)) for service in services]}
    spec_file = layout.run / f"{UNIT}.spec.json"
    spec_file.write_text(json.dumps(spec, indent=1))
    plan: dict[str, object] = {
        "cgroups": [str(leaf) for leaf in cgroups.create(layout.control_cgroup)],
        "argv": [processes.python(), str(GUEST / "supervisor.py"), str(spec_file)],
    }
    return launch(layout, UNIT, plan, ["unshare", "--pid", "--fork", "--kill-child"])


def state_file(layout: Layout) -> Path:
    """Where the supervisor reports."""
    return layout.run / f"{UNIT}.state.json"


def launch(layout: Layout, unit: str, plan: dict[str, object], enter: list[str]) -> ProcessId:
    """Run boot.py in namespaces, and record the process that holds them before anything else happens."""
    plan_file = layout.run / f"{unit}.plan.json"
    plan_file.write_text(json.dumps(plan, indent=1))
    boot = [processes.python(), str(GUEST / "boot.py"), str(plan_file)]
    process = processes.spawn([*enter, *boot], layout.log / unit / "supervisor.log")
    processes.save(process, record(layout, unit))
    return process


def record(layout: Layout, unit: str) -> Path:
    """Where a unit's process is recorded."""
    return layout.run / f"{unit}.process.json"


def _registries(layout: Layout, node_root: Path) -> list[Service]:
    return [
        Service(plan.name, [*borrowed.command(node_root, "docker-registry"), "serve", str(plan.settings)])
        for plan in registries.prepare(layout)
    ]


def _etcd(layout: Layout, node_root: Path) -> Service:
    clients = f"http://{layout.loopback}:2379"
    peers = f"http://{layout.loopback}:2380"
    argv = [
        *borrowed.command(node_root, "etcd"),
        f"--data-dir={layout.state / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # Survives a kill; only a power cut could lose a write, of a cluster for tests.
    ]
    return Service("etcd", argv, ready=f"tcp:{layout.loopback}:2379")


def _apiserver(layout: Layout) -> Service:
    pki = layout.pki
    argv = [
        str(layout.bin / "kube-apiserver"),
        f"--etcd-servers=http://{layout.loopback}:2379",
        f"--bind-address={layout.gateway}",
        f"--advertise-address={layout.gateway}",
        "--secure-port=6443",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # The host has no kube-proxy: webhooks behind a Service are called at their pods' own addresses.
        "--enable-aggregator-routing=true",
        "--profiling=false",
        *_aggregation(pki),
    ]
    # Ready, not merely listening: controllers that come too early find their own rights missing and end.
    return Service("kube-apiserver", argv, ready=f"{layout.api_url}/readyz", ready_ca=str(layout.ca))


def _aggregation(pki: Path) -> list[str]:
    """Aggregated APIs (metrics, for one) are called as one client whose word on users they may take."""
    return [
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
    ]


def _controllers(layout: Layout) -> Service:
    argv = [
        *_client(layout, "kube-controller-manager"),
        f"--service-account-private-key-file={layout.pki / 'sa.key'}",
        f"--root-ca-file={layout.ca}",
        f"--cluster-signing-cert-file={layout.ca}",
        f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
        "--use-service-account-credentials",
    ]
    return Service("kube-controller-manager", argv)


def _scheduler(layout: Layout) -> Service:
    return Service("kube-scheduler", _client(layout, "kube-scheduler"))


def _client(layout: Layout, component: str) -> list[str]:
    config = layout.pki / f"{component}.kubeconfig"
    return [
        str(layout.bin / component),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={layout.loopback}",
        "--leader-elect=false",
    ]


def link_components(layout: Layout, kube: Path, containerd: Mapping[str, Path], names: tuple[str, ...]) -> None:
    """Put the binaries where control plane and nodes find them: hard copies of nothing, links on one file system.

    `containerd`: version to the folder of its programs.
    """
    layout.bin.mkdir(parents=True, exist_ok=True)
    for name in names:
        _link(kube, layout.bin / name)
    for version, programs in containerd.items():
        folder = layout.containerd(version)
        folder.mkdir(parents=True, exist_ok=True)
        for program in programs.iterdir():
            _link(program, folder / program.name)


def _link(source: Path, target: Path) -> None:
    half = target.with_name(f".{target.name}")
    half.unlink(missing_ok=True)
    try:
        os.link(source, half)
    except OSError:
        half.write_bytes(source.read_bytes())
        half.chmod(0o755)
    half.replace(target)
