"""Freezing a process of 1 GiB: straight from the OCI runtime, through the kubelet, and by hand as the limit.

    python -m bench.freeze [--memory-mib 1024] [--runs 3]

- bare         `runc checkpoint --leave-running` of the same container, on the node, into a folder of its own
- runtime      the agent's dump by the runtime engine: asked, dumped, ready to be published
- kubelet      the same by the kubelet's
- upload       the archive through bench.publish's limit: one zstd, two digests, one upload

All take turns. While the runtime engine freezes, the process is asked without a pause for how long it says nothing, and
one connection stays open from before to after.
"""

import argparse
import json
import re
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.publish import Bench, limit, start_fresh_registry
from bench.report import Series, Target, series_table, targets_table, write
from dev.cluster.info import ClusterInfo, NodeInfo, load, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.tools import tool
from dev.cluster.workloads import WEBAPP_PORT, webapp_pod
from dev.stack import agents
from dev.stack.command_line import CommandLine, log_in
from dev.stack.pods import Pods
from dev.stack.server import Server

NAMESPACE = "bench-freeze"
POD = "big"
_RUNC_ROOT = "/run/containerd/runc/k8s.io"
_BARE = "/var/lib/ksnap-bench"
ANSWERS_WITHIN_S = 2.0
_PAUSE_S = 0.02
_WRITTEN = re.compile(r"frozen by the \w+ engine in ([\d.]+) s")


@dataclass(slots=True)
class Figures:
    """Seconds; one value for each run."""

    bare: Series = field(default_factory=lambda: Series("bare runc checkpoint", "s"))
    runtime: Series = field(default_factory=lambda: Series("runtime engine, dump", "s"))
    kubelet: Series = field(default_factory=lambda: Series("kubelet engine, dump", "s"))
    upload: Series = field(default_factory=lambda: Series("one compressed upload", "s"))
    published: Series = field(default_factory=lambda: Series("runtime engine, to verified image", "s"))
    silence: Series = field(default_factory=lambda: Series("longest silence of the process", "s"))

    def all(self) -> list[Series]:
        return [self.bare, self.runtime, self.kubelet, self.upload, self.published, self.silence]


@dataclass(frozen=True, slots=True)
class _Scene:
    cluster: ClusterInfo
    node: NodeInfo
    server: Server
    ksnap: CommandLine
    pods: Pods
    folder: Path

    def bare(self) -> float:
        """By hand; the images are removed after the clock has stopped."""
        (status,) = self.pods.get(POD)["status"]["containerStatuses"]
        container = status["containerID"].rpartition("://")[2]
        paths = [f"--image-path={_BARE}/images", f"--work-path={_BARE}/work"]
        node_exec(self.node, ["mkdir", "-p", f"{_BARE}/work"])
        begun = time.perf_counter()
        node_exec(self.node, ["runc", f"--root={_RUNC_ROOT}", "checkpoint", "--leave-running", *paths, container])
        took = time.perf_counter() - begun
        node_exec(self.node, ["rm", "-r", _BARE])
        return took

    def engine(self, name: str) -> tuple[float, float]:
        """Seconds of the dump by the agent's clock, and of the whole command: the image is verified at its end."""
        words = ["-n", NAMESPACE, "-c", "bench", "--push", "--engine", name]
        begun = time.perf_counter()
        checkpoint = self.ksnap("checkpoint", "create", POD, *words)
        whole = time.perf_counter() - begun
        if checkpoint["freeze_engine"] != name:
            raise AssertionError(f"it was the {checkpoint['freeze_engine']} engine; nothing that was measured counts")
        job = next(each for each in self.ksnap("job", "list") if each["checkpoint_id"] == checkpoint["id"])
        dump = self._dump_seconds(job["id"])
        self.ksnap("checkpoint", "delete", checkpoint["id"])
        return dump, whole

    def upload(self) -> float:
        """The kubelet's own archive, as the limit takes it."""
        archive = Kubectl(self.cluster).checkpoint(NAMESPACE, POD, "webapp")
        try:
            bench = Bench(archive, self.folder, tool("crane"), tool("checkpointctl"))
            with start_fresh_registry(bench) as registry:
                return limit(bench, registry)["seconds"]
        finally:
            archive.unlink()

    def _dump_seconds(self, job_id: str) -> float:
        """Out of the job's events, which the command line shows and forgets."""
        account = {"username": "admin", "password": self.server.password_file.read_text().strip()}
        token = _asked(f"{self.server.url}/config/user/login", account)["token"]
        events = _asked(f"{self.server.url}/jobs/{job_id}/events", token=token)["events"]
        return next(float(found[1]) for each in events if (found := _WRITTEN.search(each["message"])))


def measure(memory_mib: int, runs: int) -> Figures:
    """One process, frozen again and again."""
    cluster = load()
    agents.install(cluster)
    server = Server(cluster.kubeconfig.parent / "bench-server")
    server.start()
    pods = Pods(cluster, NAMESPACE)
    try:
        node = cluster.nodes[0]
        pods.make_namespace()
        image = cluster.images["webapp"]
        manifest = webapp_pod(POD, NAMESPACE, image, node=node.name, memory_mb=memory_mib, start_s=1)
        manifest["spec"]["runtimeClassName"] = "ksnap"
        pods.start(manifest, timeout_s=300)
        with tempfile.TemporaryDirectory(prefix="ksnap-bench-") as folder:
            ksnap = log_in(server, cluster, name="bench")
            return _measured(_Scene(cluster, node, server, ksnap, pods, Path(folder)), runs)
    finally:
        pods.remove_namespace()
        server.stop()


def _measured(scene: _Scene, runs: int) -> Figures:
    found = Figures()
    address = scene.pods.get(POD)["status"]["podIP"]
    # The first dump of a process reads code from disk that the next ones find in memory.
    scene.bare()
    for run in range(1, runs + 1):
        found.bare.values.append(scene.bare())
        with _asked_on(address) as silences:
            dump, whole = scene.engine("runtime")
        found.runtime.values.append(dump)
        found.published.values.append(whole)
        found.silence.values.append(max(silences))
        found.kubelet.values.append(scene.engine("kubelet")[0])
        found.upload.values.append(scene.upload())
        text = ", ".join(f"{each.name} {each.values[-1]:.2f} s" for each in found.all())
        print(f"run {run} of {runs}: {text}", file=sys.stderr, flush=True)
    return found


@contextmanager
def _asked_on(address: str) -> Iterator[list[float]]:
    """Ask again and again until the block ends; how long each answer took. A lost connection is an error.

    One connection has half of its request sent before, and the rest when all is over.
    """
    took: list[float] = []
    over = threading.Event()
    lost: list[Exception] = []

    def ask_on() -> None:
        try:
            while not over.wait(_PAUSE_S):
                begun = time.perf_counter()
                with urllib.request.urlopen(f"http://{address}:{WEBAPP_PORT}/", timeout=60) as reply:
                    reply.read()
                took.append(time.perf_counter() - begun)
        except OSError as error:
            lost.append(error)

    asking = threading.Thread(target=ask_on)
    with socket.create_connection((address, WEBAPP_PORT), timeout=60) as half:
        half.sendall(b"GET / HTTP/1.0\r\n")
        asking.start()
        try:
            yield took
        finally:
            over.set()
            asking.join()
        half.sendall(b"\r\n")
        if not half.recv(100).startswith(b"HTTP/1.0 200"):
            raise AssertionError("the process lost a connection that was open while it was frozen")
    if lost:
        raise AssertionError(f"the process did not answer while it was frozen: {lost[0]}")


def _asked(url: str, body: object = None, *, token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own http URL
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - the same
        found: dict[str, Any] = json.load(reply)
        return found


def targets_of(found: Figures) -> list[Target]:
    bare, runtime, kubelet, upload, published, silence = (each.median for each in found.all())
    return [
        Target("runtime engine's dump / bare runc checkpoint", runtime / bare, 1.3),
        Target("kubelet engine's dump / runtime engine's", kubelet / runtime, 5.0, at_least=True),
        Target("freeze to verified image / (bare dump + one upload)", published / (bare + upload), 1.5),
        Target("longest silence of the process (s)", silence, ANSWERS_WITHIN_S),
    ]


def report(found: Figures, *, memory_mib: int, runs: int) -> None:
    targets = targets_of(found)
    about = {"memory_mib": memory_mib, "runs": runs}
    path = write("freeze", series=found.all(), targets=targets, about=about)
    print(f"\n{series_table(found.all(), reference=found.bare)}\n\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Freezing one process, by both engines and by hand")
    parser.add_argument("--memory-mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    report(measure(options.memory_mib, options.runs), memory_mib=options.memory_mib, runs=options.runs)


if __name__ == "__main__":
    main()
