"""Ready time of the web app, cold against restored, at 64 MB and 1 GB: what a checkpoint saves, where the rest goes.

Both engines restore the same checkpoint on the same node. The image engine's time is split; of the runtime engine there
are two: from the registry, and with the image unpacked on the node already.

One run on the development cluster, the nodes otherwise idle. A cold start has its image on the node already, as any
second pod of a workload has; a restored one pulls the checkpoint image, as on a node that sees it for the first time.

Pull and unpack are one figure: they are one call to containerd (PullImage), of which the kubelet's event and
containerd's log tell the whole; how long unpacking took is said at debug level alone, at which our nodes, like others,
do not log. For the rest the pod's status has whole seconds, containerd's log finer ones.
"""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass

from bench.containerd_log import spans
from dev.cluster.info import ClusterInfo, load
from dev.cluster.workloads import webapp_pod
from dev.stack import agents
from dev.stack.command_line import CommandLine, log_in
from dev.stack.pods import Pods
from dev.stack.server import Server

NAMESPACE = "bench"
START_S = 8
SIZES_MB = (64, 1024)
_WORK = "/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io"
_TIMES = re.compile(r"^\((\d+\.\d+)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds; medians over the runs."""

    memory_mb: int
    cold_s: float
    freeze_s: float
    """Command to image in the registry."""
    restored_s: float
    """The restore's job from its beginning to the proof: more than the pod's own time."""
    pull_s: float
    """Pull and unpack of the checkpoint image, as the kubelet measured it."""
    create_s: float
    """containerd copies the archive out of the image and makes the container."""
    start_s: float
    """containerd and runc restore it."""
    criu_s: float
    """CRIU's part of that, by its log."""
    ready_s: float
    """What remains: scheduling and sandbox before, probe and proof after."""
    runtime_s: float
    """The same by the runtime engine, the image fetched and unpacked by the agent first."""
    runtime_warm_s: float
    """Once more, the image still there."""

    @property
    def ratio(self) -> float:
        return self.restored_s / self.cold_s

    @property
    def warm_ratio(self) -> float:
        return self.runtime_warm_s / self.restored_s


def measure(runs: int = 3) -> list[Start]:
    """Both sizes, each `runs` times."""
    cluster = load()
    agents.install(cluster)
    server = Server(cluster.kubeconfig.parent / "bench-server")
    server.start()
    try:
        bench = _Bench(cluster, log_in(server, cluster, name="bench"), Pods(cluster, NAMESPACE))
        bench.prepare()
        return [bench.size(memory_mb, runs) for memory_mb in SIZES_MB]
    finally:
        Pods(cluster, NAMESPACE).remove_namespace()
        server.stop()


@dataclass(frozen=True, slots=True)
class _Bench:
    cluster: ClusterInfo
    ksnap: CommandLine
    pods: Pods

    def prepare(self) -> None:
        """The workload's image on both nodes."""
        self.pods.make_namespace()
        for node in self.cluster.nodes:
            self._start(f"warm-{node.name}", node.name, memory_mb=1, start_s=0)
            self.pods.delete(f"warm-{node.name}")

    def size(self, memory_mb: int, runs: int) -> Start:
        seen = [self._once(memory_mb) for _ in range(runs)]
        median = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
        return Start(memory_mb=memory_mb, **median)

    def _once(self, memory_mb: int) -> dict[str, float]:
        first, second = (node.name for node in self.cluster.nodes[:2])
        cold_s = self._start("source", first, memory_mb=memory_mb, start_s=START_S)
        token = self.pods.ask("source")["token"]
        begun = time.monotonic()
        checkpoint = self.ksnap("checkpoint", "create", "source", "-n", NAMESPACE, "-c", "bench", "--push")
        freeze_s = time.monotonic() - begun
        timings = self._restore(checkpoint["id"], second, token, engine="image")
        spent = self._spent("copy", second, timings)
        for name in ("runtime_s", "runtime_warm_s"):
            self.pods.delete("copy")
            spent[name] = self._restore(checkpoint["id"], second, token, engine="runtime")["total_s"]
        self.pods.delete("source", "copy")
        self.ksnap("checkpoint", "delete", checkpoint["id"])
        return {"cold_s": cold_s, "freeze_s": freeze_s, **spent}

    def _restore(self, checkpoint: str, node: str, token: str, *, engine: str) -> dict[str, float]:
        words = ["--name", "copy", "-n", NAMESPACE, "--node", node, "--engine", engine]
        timings: dict[str, float] = self.ksnap("restore", checkpoint, *words)["timings"]
        if self.pods.ask("copy")["token"] != token:
            raise AssertionError("the copy is not the frozen process; nothing that was measured means anything")
        return timings

    def _start(self, name: str, node: str, *, memory_mb: int, start_s: float) -> float:
        image = self.cluster.images["webapp"]
        return self.pods.start(webapp_pod(name, NAMESPACE, image, node=node, memory_mb=memory_mb, start_s=start_s))

    def _spent(self, pod: str, name: str, timings: dict[str, float]) -> dict[str, float]:
        """Where the time of a restore went; CRIU's last time is in the log that runc leaves in its work folder."""
        container = self.pods.get(pod)["status"]["containerStatuses"][0]["containerID"].rpartition("://")[2]
        node = self.cluster.node(name)
        criu_log = node.path(f"{_WORK}/{container}/restore.log").read_text(errors="replace")
        took = spans((node.log / "containerd.log").read_text(errors="replace"), container)
        return {
            "restored_s": timings["total_s"],
            "pull_s": timings["pull_s"],
            "create_s": took.create_s,
            "start_s": took.start_s,
            "criu_s": float(_TIMES.findall(criu_log)[-1]),
            "ready_s": timings["total_s"] - timings["pull_s"] - took.create_s - took.start_s,
        }
