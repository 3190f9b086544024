"""Pods of one cluster: read, create, delete, wait. Pods are plain JSON."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from ksnap.errors import NotFound
from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection, Json
from ksnap.kube.failures import ClusterUnreachable, from_status
from ksnap.kube.paths import segment

# A watch that is silent for so long is begun again: a dead connection looks like a quiet one.
WATCH_SILENCE_S = 30.0
RETRY_S = 1.0
# One line of a watch is one object; etcd's own limit for it is 1.5 MiB.
LINE_LIMIT = 4 << 20

T = TypeVar("T")
Verdict = Callable[[Mapping[str, Any]], T | None]


def pods_path(namespace: str, pod: str = "") -> str:
    path = f"/api/v1/namespaces/{segment(namespace)}/pods"
    return f"{path}/{segment(pod)}" if pod else path


async def get_pod(connection: ClusterConnection, namespace: str, pod: str) -> Json:
    """One pod, or NotFound."""
    return await connection.get(pods_path(namespace, pod), what=f"pod {namespace}/{pod}")


async def list_pods(connection: ClusterConnection, namespace: str, selector: str) -> list[Json]:
    """The pods of a namespace that carry some labels. resourceVersion 0: the API server's memory, not etcd."""
    params = {"labelSelector": selector, "resourceVersion": "0"}
    found = await connection.get(pods_path(namespace), what=f"pods of namespace {namespace}", params=params)
    return list(found.get("items") or [])


async def create_pod(connection: ClusterConnection, namespace: str, pod: Json) -> Json:
    """The pod as the cluster accepted it; AlreadyExists for a taken name, InvalidInput for a refused spec."""
    return await connection.post(pods_path(namespace), pod, what=f"pod {namespace}/{pod['metadata']['name']}")


async def delete_pod(
    connection: ClusterConnection, namespace: str, pod: str, *, uid: str, grace_s: int | None = None
) -> None:
    """Delete this very pod; one of the same name made since stays. Absent is as good as deleted."""
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    try:
        await connection.delete(pods_path(namespace, pod), what=f"pod {namespace}/{pod}", body=options)
    except NotFound:
        return


async def wait_for_pod(
    connection: ClusterConnection, namespace: str, pod: str, verdict: Verdict[T], *, deadline_s: float
) -> T:
    """Follow one pod until `verdict` says something; TimeoutError after the deadline, NotFound if it is deleted.

    A lost connection or an API server that is away is waited out within the deadline.
    """
    async with asyncio.timeout(deadline_s):
        while True:
            began = time.monotonic()
            try:
                current = await get_pod(connection, namespace, pod)
                said = verdict(current)
                if said is None:
                    said = await _watch(connection, namespace, pod, verdict, current["metadata"]["resourceVersion"])
                if said is not None:
                    return said
            except ClusterUnreachable:
                pass
            await asyncio.sleep(max(0.0, RETRY_S - (time.monotonic() - began)))


async def _watch(
    connection: ClusterConnection, namespace: str, pod: str, verdict: Verdict[T], version: str
) -> T | None:
    """One watch; None where it ended without a verdict and must be begun again."""
    params = {"watch": "1", "fieldSelector": f"metadata.name={pod}", "resourceVersion": version}
    deadlines = aiohttp.ClientTimeout(total=None, sock_connect=connection.config.timeout_s, sock_read=WATCH_SILENCE_S)
    what = f"pod {namespace}/{pod}"
    async with connection.request("GET", pods_path(namespace), params=params, deadlines=deadlines) as response:
        if response.status >= 400:
            body = await response.content.read(ERROR_BODY_LIMIT)
            raise from_status(response.status, body, connection.name, what)
        while line := await response.content.readuntil(b"\n", max_size=LINE_LIMIT):
            event = json.loads(line)
            if event["type"] == "DELETED":
                raise NotFound("Pod not found", details=f"{what} was deleted while it was waited for")
            if event["type"] == "ERROR":
                return None  # 410 Gone: too old a version; read the pod anew
            said = verdict(event["object"])
            if said is not None:
                return said
    return None


async def pod_events(connection: ClusterConnection, namespace: str, uid: str) -> list[Json]:
    """What the cluster says happened to one pod, in no order; kept by Kubernetes for an hour."""
    params = {"fieldSelector": f"involvedObject.uid={uid}"}
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events"
    found = await connection.get(path, what=f"events of namespace {namespace}", params=params)
    return list(found.get("items") or [])
