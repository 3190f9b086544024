"""Admissions of a hook beside those of an empty webhook in the same framework, in the same run.

    python -m bench.admission [--seconds 10]

Both are served by TLS from a process of its own on one core; who asks has the other cores. The hook decides for real:
200 nodes, a catalog of 10,000 checkpoints, pods as a Deployment's are. The empty webhook reads the review and allows.
First each as fast as it can, then the hook at a steady rate, of which the times count from when a request was due.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.report import Series, Target, table, targets_table, write
from ksnap.configuration.registries import Registries
from ksnap.hooks.admission import Admission, AdmissionMetrics
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.certificates import Pair, new_authority, new_leaf
from ksnap.hooks.decision import Places
from ksnap.hooks.listener import Listener, context_of
from ksnap.hooks.nodes import Node
from ksnap.hooks.records import Hook, HookState
from ksnap.hooks.review import answer, parse_review
from ksnap.hooks.tags import Tags
from ksnap.model.checkpoint_key import CheckpointKey, slot_of
from ksnap.server.logs import configure_logs
from ksnap.server.memory import forget_what_stays
from ksnap.store.database import Database, open_database
from ksnap.store.encryption import Vault
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint

WORKLOADS, NODES, CLIENTS, RATE = 10_000, 200, 32, 1000.0
LEAST_RATIO, P99_MS = 0.6, 10.0
HOST, PATH = "127.0.0.1", "/mutate/bench"
DIGEST = "sha256:" + "1" * 64


_NODES = [
    Node(f"node-{number}", {"ksnap.dev/restore": "runtime", "kubernetes.io/arch": "amd64"}, is_schedulable=True,
         architecture="amd64")
    for number in range(NODES)
]  # fmt: skip


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """What any webhook does at least: read the review, and allow the pod by its uid."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = answer(parse_review(b"".join(parts)).uid, [])
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def pod(number: int) -> dict[str, Any]:
    """As the API server hands it over: with what its own admission has added."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    mount = {"name": "kube-api-access-x", "readOnly": True, "mountPath": folder}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{number}-abc", "uid": "u", "controller": True}
    env = [{"name": f"VARIABLE_{each}", "value": "value " * 4} for each in range(20)]
    probe = {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "failureThreshold": 3}
    container = {
        "name": "web", "image": f"registry.example/web-{number}:1", "env": env, "volumeMounts": [mount],
        "readinessProbe": probe, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
    }  # fmt: skip
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": f"web-{number}-abc-", "namespace": "shop", "ownerReferences": [owner],
            "labels": {"app": f"web-{number}", "pod-template-hash": "abc", "ksnap.dev/snap": "true"},
        },
        "spec": {
            "containers": [container], "serviceAccountName": "default", "schedulerName": "default-scheduler",
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": [], "defaultMode": 420}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
            "securityContext": {}, "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "priority": 0,
        },
    }  # fmt: skip


def review(number: int) -> bytes:
    request = {"uid": "u", "operation": "CREATE", "namespace": "shop", "dryRun": False, "object": pod(number)}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


async def filled(folder: Path) -> Catalog:
    """A catalog that knows all workloads."""
    url = f"sqlite+aiosqlite:///{folder / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=30.0)
    await _seed(database)
    catalog = Catalog(database, Tags(Registries(database, Vault(["A" * 43 + "="])), enabled=False))
    await catalog.look()
    return catalog


async def _seed(database: Database) -> None:
    now = datetime.now(UTC)
    first = slot_of("dev", pod(0), "web", architecture="amd64")
    async with database.writing() as session:
        for number in range(WORKLOADS):
            owner, image = f"Deployment/web-{number}", f"registry.example/web-{number}:1"
            key = CheckpointKey(
                "dev", "shop", owner, "web", "web", image, DIGEST, first.template_hash, first.environment_hash
            )
            session.add(
                Checkpoint(
                    id=f"{number:020x}", cluster_name="dev", namespace="shop", pod_name="p", pod_uid="u",
                    container_name="web", container_id="c", node_name="n", status="completed", filename="f",
                    key=key.annotations(), key_digest=key.digest(), pod_encrypted=b"", created_at=now,
                    created_by="bench", image=f"registry.example/snap/web-{number}:t", image_digest=DIGEST,
                    archive_annotations={},
                )
            )  # fmt: skip


def serve(kind: str, core: int, port: int, leaf: Pair, *, ready: Event, ended: Event) -> None:
    """The process that is measured."""
    os.sched_setaffinity(0, {core})
    configure_logs("info", "json")
    uvloop.run(_serve(kind, port, leaf, ready, ended))


async def _serve(kind: str, port: int, leaf: Pair, ready: Event, ended: Event) -> None:
    with TemporaryDirectory() as folder:
        application: Any = empty
        if kind == "hook":
            catalog = await filled(Path(folder))
            places = Places(_NODES)
            application = Admission(catalog, lambda _cluster: places, AdmissionMetrics())
            forget_what_stays()  # as the server does
            application.serve([Hook("bench", "dev", f"https://{HOST}{PATH}", "snap", state=HookState.RUNNING)])
        listener = Listener(HOST, port, application)
        listener.contexts.put({}, context_of(leaf))
        await listener.open()
        ready.set()
        await asyncio.to_thread(ended.wait)
        await listener.close()


@dataclass(slots=True)
class Connection:
    """One of an API server's connections; by hand, since a client library would cost more than what is measured."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await self.reader.readexactly(int(length.partition(b":")[2]))


class Asking:
    """Who asks one server, on some connections."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections
        self._requests = [_request(number * 97 % WORKLOADS) for number in range(500)]

    async def once(self, connection: Connection, number: int) -> bytes:
        return await connection.ask(self._requests[number % len(self._requests)])

    async def first(self) -> bytes:
        return await self.once(self._connections[0], 1)

    async def flat_out(self, seconds: float) -> int:
        """How many are answered, on as many connections as keep the server busy."""
        began, done = time.perf_counter(), 0

        async def work(connection: Connection) -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                await self.once(connection, done)
                done += 1

        await asyncio.gather(*(work(each) for each in self._connections))
        return done

    async def steadily(self, rate: float, seconds: float) -> list[float]:
        """Seconds from when each was due to its answer: a queue counts for all who wait in it."""
        taken: list[float] = []
        free = list(self._connections)
        due: asyncio.Queue[tuple[int, float]] = asyncio.Queue()

        async def work(connection: Connection) -> None:
            while True:
                number, at = await due.get()
                await self.once(connection, number)
                taken.append(time.perf_counter() - at)
                due.task_done()

        workers = [asyncio.create_task(work(each)) for each in free]
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            at = began + number / rate
            if (early := at - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            due.put_nowait((number, at))
        await due.join()
        for each in workers:
            each.cancel()
        return taken


def _request(number: int) -> bytes:
    body = review(number)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def asking(port: int, context: ssl.SSLContext) -> AsyncIterator[Asking]:
    opened = [Connection(*await asyncio.open_connection(HOST, port, ssl=context)) for _ in range(CLIENTS)]
    try:
        yield Asking(opened)
    finally:
        for each in opened:
            each.writer.close()


@dataclass(frozen=True, slots=True)
class Measured:
    """What one server did."""

    per_second: float
    per_cpu_second: float
    """Admissions in a second of its own processor time: what a core to itself would do."""
    steady_s: list[float]


async def measured(kind: str, core: int, seconds: float) -> Measured:
    now = datetime.now(UTC)
    authority = new_authority(now)
    leaf = new_leaf(authority, [HOST], now, timedelta(hours=1))
    spawning = multiprocessing.get_context("spawn")
    ready, ended = spawning.Event(), spawning.Event()
    port = _free_port()
    told = {"ready": ready, "ended": ended}
    process = spawning.Process(target=serve, args=(kind, core, port, leaf), kwargs=told)
    process.start()
    try:
        if not await asyncio.to_thread(ready.wait, 300):
            raise TimeoutError(kind)
        assert process.pid is not None
        async with asking(port, ssl.create_default_context(cadata=authority.certificate_pem)) as asker:
            assert (b'"patch"' in await asker.first()) == (kind == "hook")
            await asker.flat_out(seconds / 4)
            before, began = _cpu_s(process.pid), time.perf_counter()
            done = await asker.flat_out(seconds)
            cpu_s, wall_s = _cpu_s(process.pid) - before, time.perf_counter() - began
            return Measured(done / wall_s, done / cpu_s, await asker.steadily(RATE, seconds))
    finally:
        ended.set()
        await asyncio.to_thread(process.join, 30)


def _cpu_s(pid: int) -> float:
    """Processor time so far (proc(5), stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10.0)
    seconds = arguments.parse_args().seconds
    cores = os.sched_getaffinity(0)
    core = min(cores)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {core})
    plain = asyncio.run(measured("empty", core, seconds))
    hook = asyncio.run(measured("hook", core, seconds))
    targets = [
        Target("admissions per second of one core, hook / empty webhook", hook.per_cpu_second / plain.per_cpu_second,
               LEAST_RATIO, at_least=True),
        Target(f"hook, p99 at {RATE:g} a second (ms)", p99_ms(hook), P99_MS),
    ]  # fmt: skip
    series, rows = [], [["", "a second", "of one core", "median", "p99"]]
    for name, each in (("empty webhook", plain), ("hook", hook)):
        median = statistics.median(each.steady_s) * 1000
        figures = [f"{each.per_second:.0f}", f"{each.per_cpu_second:.0f}", f"{median:.2f} ms", f"{p99_ms(each):.2f} ms"]
        rows.append([name, *figures])
        series += [
            Series(name, "/s", [each.per_second]),
            Series(f"{name}, of one core", "/s", [each.per_cpu_second]),
            Series(f"{name}, steady", "ms", [1000 * taken for taken in each.steady_s]),
        ]
    path = write("admission", series=series, targets=targets, about={"workloads": WORKLOADS, "nodes": NODES})
    print(f"\n{table(rows)}\n\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


def p99_ms(found: Measured) -> float:
    return statistics.quantiles(found.steady_s, n=100)[98] * 1000


if __name__ == "__main__":
    main()
