"""Peak memory of agent and server for an archive of 4 GiB: frozen and pushed by the one, downloaded from the other.

The limit is 150 MiB for either, whatever the archive's size. The kernel's own high-water mark of each process is read
(VmHWM), reset before, so that nothing between two looks is missed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import processes
from dev.cluster.info import ClusterInfo, load, node_exec
from dev.cluster.workloads import webapp_pod
from dev.stack import agents
from dev.stack.command_line import log_in
from dev.stack.pods import Pods
from dev.stack.server import Server

NAMESPACE = "bench-memory"
LIMIT_MIB = 150
_HIGH_WATER = re.compile(r"VmHWM:\s+(\d+) kB")
# Writing 5 to clear_refs resets the high-water mark (proc(5)).
_RESET = "5"


@dataclass(frozen=True, slots=True)
class Peaks:
    """MiB, and what was carried."""

    archive_mib: float
    agent_mib: float
    server_mib: float


def measure(memory_mb: int = 4096) -> Peaks:
    """One freeze, one download to nowhere."""
    cluster = load()
    agents.install(cluster)
    server = Server(cluster.kubeconfig.parent / "bench-server")
    server.start()
    pods = Pods(cluster, NAMESPACE)
    try:
        ksnap = log_in(server, cluster, name="bench")
        pods.make_namespace()
        node = cluster.nodes[0].name
        manifest = webapp_pod("big", NAMESPACE, cluster.images["webapp"], node=node, memory_mb=memory_mb, start_s=1)
        pods.start(manifest, timeout_s=300)
        agent, serving = _agent(cluster, node), _server(server)
        for process in (agent, serving):
            (process / "clear_refs").write_text(_RESET)
        frozen = ksnap("checkpoint", "create", "big", "-n", NAMESPACE, "-c", "bench", "--push", timeout_s=1200)
        agent_mib = _peak(agent)
        target = server.folder / "big.tar"
        ksnap("checkpoint", "download", frozen["id"], "--file", str(target), "--force", timeout_s=1200)
        size = target.stat().st_size
        target.unlink()
        ksnap("checkpoint", "delete", frozen["id"])
        return Peaks(archive_mib=size / 2**20, agent_mib=agent_mib, server_mib=_peak(serving))
    finally:
        pods.remove_namespace()
        server.stop()


def _agent(cluster: ClusterInfo, node: str) -> Path:
    """The agent's process as the node numbers it, seen from here."""
    inside = node_exec(cluster.node(node), ["pgrep", "--full", "--oldest", "ksnap(.agent| agent)"]).split()[0]
    return cluster.node(node).path(f"/proc/{inside}")


def _server(server: Server) -> Path:
    """`env` became the server by exec, so the recorded process is it."""
    running = processes.load(server.record)
    if running is None:
        raise AssertionError("the server does not run")
    return Path("/proc") / str(running.pid)


def _peak(process: Path) -> float:
    found = _HIGH_WATER.search((process / "status").read_text())
    if found is None:
        raise AssertionError(f"{process} names no peak")
    return int(found.group(1)) / 1024
