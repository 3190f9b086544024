"""Admissions of a hook beside those of an empty webhook in the same framework, in the same run.

    python -m bench.admission [--seconds 10]

Both are served by TLS from a process of its own on one core; who asks has the other cores. The hook decides for real:
200 nodes, a catalog of 10,000 checkpoints, pods as a Deployment's are. The empty webhook reads the body and allows.
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
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from bench.report import Series, Target, table, targets_table, write
from ksnap.configuration.registries import Registries
from ksnap.hooks.admission import Admission, AdmissionMetrics
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.certificates import Pair, new_authority, new_leaf
from ksnap.hooks.listener import Listener, context_of
from ksnap.hooks.nodes import Node
from ksnap.hooks.records import Hook, HookState
from ksnap.hooks.tags import Tags
from ksnap.model.checkpoint_key import CheckpointKey, slot_of
from ksnap.store.database import Database, open_database
from ksnap.store.encryption import Vault
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint

WORKLOADS, NODES, CLIENTS, RATE = 10_000, 200, 32, 1000.0
LEAST_RATIO, P99_MS = 0.6, 10.0
HOST = "127.0.0.1"
DIGEST = "sha256:" + "1" * 64
ALLOWED = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true}}'


_NODES = [
    Node(f"node-{number}", {"ksnap.dev/restore": "runtime", "kubernetes.io/arch": "amd64"}, is_schedulable=True,
         architecture="amd64")
    for number in range(NODES)
]  # fmt: skip


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """What any webhook does at least."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ALLOWED)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ALLOWED})


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
    asyncio.run(_serve(kind, port, leaf, ready, ended))


async def _serve(kind: str, port: int, leaf: Pair, ready: Event, ended: Event) -> None:
    with TemporaryDirectory() as folder:
        application: Any = empty
        if kind == "hook":
            catalog = await filled(Path(folder))
            application = Admission(catalog, lambda _cluster: _NODES, AdmissionMetrics())
            application.serve([Hook("bench", "dev", f"https://{HOST}/mutate/bench", "snap", state=HookState.RUNNING)])
        listener = Listener(HOST, port, application)
        listener.contexts.put({}, context_of(leaf))
        await listener.open()
        ready.set()
        await asyncio.to_thread(ended.wait)
        await listener.close()


class Asking:
    """One server, and who asks it."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._url = f"https://{HOST}:{port}/mutate/bench"
        self._bodies = [review(number * 97 % WORKLOADS) for number in range(500)]
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=CLIENTS))

    async def close(self) -> None:
        await self._session.close()

    async def once(self, number: int) -> bytes:
        body = self._bodies[number % len(self._bodies)]
        async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 200
            return await answer.read()

    async def flat_out(self, seconds: float) -> float:
        """Admissions per second, by as many clients as keep the server busy."""
        began, done = time.perf_counter(), 0

        async def work() -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                await self.once(done)
                done += 1

        await asyncio.gather(*(work() for _ in range(CLIENTS)))
        return done / (time.perf_counter() - began)

    async def steadily(self, rate: float, seconds: float) -> list[float]:
        """Seconds from when each was due to its answer: a queue counts for all who wait in it."""
        taken: list[float] = []
        began = time.perf_counter()

        async def one(number: int, due: float) -> None:
            await self.once(number)
            taken.append(time.perf_counter() - due)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(number, due))
        return taken


async def measured(kind: str, core: int, seconds: float, *, steady: bool = False) -> tuple[float, list[float]]:
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
        asking = Asking(port, ssl.create_default_context(cadata=authority.certificate_pem))
        try:
            patched = b'"patch"' in await asking.once(1)
            assert patched == (kind == "hook")
            await asking.flat_out(seconds / 4)
            rate = await asking.flat_out(seconds)
            return rate, await asking.steadily(RATE, seconds) if steady else []
        finally:
            await asking.close()
    finally:
        ended.set()
        await asyncio.to_thread(process.join, 30)


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
    plain, _ = asyncio.run(measured("empty", core, seconds))
    hook, taken = asyncio.run(measured("hook", core, seconds, steady=True))
    times = [each * 1000 for each in taken]
    p99 = statistics.quantiles(times, n=100)[98]
    targets = [
        Target("admissions per second, hook / empty webhook", hook / plain, LEAST_RATIO, at_least=True),
        Target(f"hook, p99 at {RATE:g} a second (ms)", p99, P99_MS),
    ]
    series = [Series("empty", "/s", [plain]), Series("hook", "/s", [hook]), Series("hook, steady", "ms", times)]
    path = write("admission", series=series, targets=targets, about={"workloads": WORKLOADS, "nodes": NODES})
    rows = [["", "a second", "median", "p99"], ["empty webhook", f"{plain:.0f}", "", ""]]
    rows.append(["hook", f"{hook:.0f}", f"{statistics.median(times):.2f} ms", f"{p99:.2f} ms"])
    print(f"\n{table(rows)}\n\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
