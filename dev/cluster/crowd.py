"""A crowd: simulated nodes with pods in thousands, by kwok, in the real API server. Only when asked for.

The nodes have no kubelet; kwok tells their leases and their pods' states. A tenth of the pods has no node and stays
Pending, with most of the events, as in a cluster that is full.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dev.cluster import gobuild, processes
from dev.cluster.api import Api, wait_for
from dev.cluster.cache import Cache
from dev.cluster.commands import say
from dev.cluster.errors import ClusterError
from dev.cluster.layout import Layout
from dev.cluster.processes import ProcessId

UNIT = "kwok"
LABEL = "crowd.ksnap.dev/member"
ANNOTATION = "kwok.x-k8s.io/node"
# The node controller calls a node dead after 50 s without a renewed lease: kwok renews each in a quarter of this.
LEASE_S = 40
_WORKERS = 16
_READY_S = 900.0
_ANSWER_S = 120.0
_PENDING_EVERY = 10
_NOBODY = "nobody"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_MADE = "2026-01-01T00:00:00Z"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many of each."""

    nodes: int = 200
    pods: int = 10_000
    events: int = 4_000
    namespaces: int = 20

    def namespace(self, at: int) -> str:
        return f"crowd-{at % self.namespaces:02}"


def up(layout: Layout, cache: Cache, crowd: Crowd) -> None:
    """Start kwok and make what is missing; returns when the pods that have a node run."""
    kwok = gobuild.tool(cache, "kwok")
    _start(layout, [str(kwok)])
    with closing(_Caller(layout)) as caller:
        _make(caller, "namespaces", [_namespace(crowd.namespace(at)) for at in range(crowd.namespaces)])
        _make(caller, "nodes", [_node(at) for at in range(crowd.nodes)])
        last = crowd.namespace(crowd.namespaces - 1)
        wait_for(
            "accounts in the namespaces",
            lambda: caller.exists(f"/api/v1/namespaces/{last}/serviceaccounts/default"),
            timeout_s=_READY_S,
            explain=lambda: last,
        )
        _make(caller, "pods", _pods(crowd))
        _make(caller, "events", _events(crowd, caller.uids(f"/api/v1/pods?labelSelector={LABEL}")))
        wait_for(
            "simulated pods run",
            lambda: not caller.exists_any("/api/v1/pods", "fieldSelector=status.phase=Pending,spec.nodeName!="),
            timeout_s=_READY_S,
            explain=lambda: f"log: {layout.log / UNIT}",
        )
    say(f"{crowd.nodes} nodes, {crowd.pods} pods and {crowd.events} events are simulated")


def down(layout: Layout) -> None:
    """Remove what was made, and end kwok."""
    with closing(_Caller(layout)) as caller:
        names = caller.names("/api/v1/namespaces", LABEL)
        # At once: a pod's node would have to agree to a graceful end, for each on its own.
        at_once = "gracePeriodSeconds=0&propagationPolicy=Background"
        for kind in ("pods", "events"):
            # One after the other: each is some hundred deletions for the API server.
            caller.each("DELETE", [(f"/api/v1/namespaces/{name}/{kind}?{at_once}", None) for name in names], workers=1)
        caller.each("DELETE", [(f"/api/v1/namespaces/{name}", None) for name in names])
        caller.each("DELETE", [(f"/api/v1/nodes?labelSelector={LABEL}", None)])
        wait_for(
            "namespaces gone",  # the next crowd's have the same names
            lambda: not caller.names("/api/v1/namespaces", LABEL),
            timeout_s=_READY_S,
            explain=lambda: ", ".join(names),
        )
    end(layout)


def end(layout: Layout) -> None:
    """End kwok, if it runs."""
    running = processes.load(_record(layout))
    if running is not None:
        processes.end([running], grace_s=5)
        _record(layout).unlink(missing_ok=True)


def _start(layout: Layout, argv: list[str]) -> ProcessId:
    running = processes.load(_record(layout))
    if running is not None and running.alive():
        return running
    argv += [
        f"--kubeconfig={layout.kubeconfig}",
        "--v=WARN",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
        f"--node-lease-duration-seconds={LEASE_S}",
        "--cidr=10.200.0.0/16",
        "--node-ip=127.0.0.1",
        f"--server-address={layout.loopback}:10247",
    ]
    started = processes.spawn(argv, layout.log / UNIT / "kwok.log")
    processes.save(started, _record(layout))
    return started


def _record(layout: Layout) -> Any:
    return layout.run / f"{UNIT}.json"


class _Caller:
    """Requests as administrator, a connection for each thread."""

    def __init__(self, layout: Layout) -> None:
        self._host = Api(layout.api_url.removeprefix("https://"), layout.pki).host
        self._tls = ssl.create_default_context(cafile=str(layout.ca))
        self._tls.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
        self._own = threading.local()
        self._open: list[http.client.HTTPSConnection] = []

    def close(self) -> None:
        for each in self._open:
            each.close()

    def each(self, method: str, requests: Iterable[tuple[str, Manifest | None]], *, workers: int = _WORKERS) -> None:
        """All of them, some at once. One that is there already (409), or gone (404), is as good."""
        with ThreadPoolExecutor(workers) as pool:
            for status, answer in pool.map(lambda each: self._call(method, *each), requests):
                if status >= 400 and status not in {404, 409}:
                    raise ClusterError(f"the API server says {status}: {answer[:300]!r}")

    def exists_any(self, path: str, query: str) -> bool:
        """Whether there is one, without reading all."""
        return bool(self._json(f"{path}?limit=1&{query}")["items"])

    def exists(self, path: str) -> bool:
        return self._call("GET", path, None)[0] == 200

    def uids(self, path: str) -> dict[str, str]:
        """Names to uids."""
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in self._json(path, _METADATA)["items"]}

    def names(self, path: str, label: str) -> list[str]:
        return [each["metadata"]["name"] for each in self._json(f"{path}?labelSelector={label}")["items"]]

    def _json(self, path: str, accept: str = "application/json") -> Any:
        status, content = self._call("GET", path, None, accept)
        if status != 200:
            raise ClusterError(f"the API server says {status}: {content[:300]!r}")
        return json.loads(content)

    def _call(
        self, method: str, path: str, body: Manifest | None, accept: str = "application/json"
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "User-Agent": "ksnap-dev-cluster", "Accept": accept}
        try:
            connection: http.client.HTTPSConnection = self._own.connection
        except AttributeError:
            connection = http.client.HTTPSConnection(self._host, timeout=_ANSWER_S, context=self._tls)
            self._own.connection = connection
            self._open.append(connection)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
            with connection.getresponse() as response:
                return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"the API server went away: {error}") from error


def _make(caller: _Caller, kind: str, manifests: Iterable[Manifest]) -> None:
    def requests() -> Iterator[tuple[str, Manifest]]:
        for each in manifests:
            namespace = each["metadata"].get("namespace")
            yield (f"/api/v1/namespaces/{namespace}/{kind}" if namespace else f"/api/v1/{kind}"), each

    say(f"making {kind}")
    caller.each("POST", requests())


def _namespace(name: str) -> Manifest:
    return {"metadata": {"name": name, "labels": {LABEL: ""}}}


def _node(at: int) -> Manifest:
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    name = f"crowd-{at:03}"
    return {
        "metadata": {
            "name": name,
            "labels": {LABEL: "", "kubernetes.io/hostname": name, "type": "kwok"},
            "annotations": {ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
        },
        # So that nothing else is put there.
        "spec": {"taints": [{"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room, "nodeInfo": {"kubeletVersion": "fake"}},
    }


def _pods(crowd: Crowd) -> Iterator[Manifest]:
    for at in range(crowd.pods):
        app = f"app-{at % 97}"
        placed = {"nodeName": f"crowd-{at % crowd.nodes:03}"} if at % _PENDING_EVERY else {"schedulerName": _NOBODY}
        yield {
            "metadata": {
                "name": _pod_name(at),
                "namespace": crowd.namespace(at),
                "labels": {LABEL: "", "app": app, "tier": f"tier-{at % 3}", "pod-template-hash": f"{at % 97:08x}"},
                "annotations": {"prometheus.io/scrape": "true", "example.dev/owner": f"team-{at % 11}"},
            },
            "spec": {
                **placed,
                "initContainers": [_container("migrate", app)],
                "containers": [_container("web", app), _container("proxy", "proxy")],
                "tolerations": [{"key": ANNOTATION, "operator": "Exists"}],
            },
        }


def _pod_name(at: int) -> str:
    return f"web-{at % 97}-{at:05}"


def _container(name: str, image: str) -> Manifest:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return {
        "name": name,
        "image": f"registry.example/{image}:1.0",
        "env": [{"name": f"SETTING_{number}", "value": f"value number {number}"} for number in range(8)],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        **({"readinessProbe": probe, "livenessProbe": probe} if name == "web" else {}),
    }


def _events(crowd: Crowd, uids: Mapping[str, str]) -> Iterator[Manifest]:
    """Three of four are warnings about a pod that is not ready."""
    pending = crowd.pods // _PENDING_EVERY
    for at in range(crowd.events):
        bad = at % 4 != 0
        pod = (at % pending) * _PENDING_EVERY if bad else at % crowd.pods
        namespace, name = crowd.namespace(pod), _pod_name(pod)
        yield {
            "metadata": {"name": f"{name}.{at:08x}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": namespace,
                "name": name,
                "uid": uids[name],
            },
            "reason": f"FailedScheduling{at % 5 or ''}" if bad else "Pulled",
            "message": "0/200 nodes are available: 200 Insufficient cpu." if bad else "Container image is there",
            "type": "Warning" if bad else "Normal",
            "source": {"component": "crowd"},
            "firstTimestamp": _MADE,
            "lastTimestamp": _MADE,
            "count": 1,
        }
