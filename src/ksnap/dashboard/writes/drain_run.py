"""One drain at work: evicts the planned pods and waits until they are gone.

Evictions (policy/v1) respect PodDisruptionBudgets: one that a budget forbids now is tried again until the time is up.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.writes.drain_plan import DrainOptions, PodName
from ksnap.dashboard.writes.known_kinds import POD
from ksnap.errors import KsnapError
from ksnap.kube.connection import Json
from ksnap.kube.failures import TRANSIENT, ClusterUnreachable, KubeRefusal

# As kubectl: a budget changes when another pod has become ready, which takes seconds.
AGAIN_S = 5.0
LOOK_S = 1.0
AT_ONCE = 10


class PodState(StrEnum):
    WAITING = "waiting"
    """To be evicted, or a budget forbids it yet; `message` says so."""
    EVICTED = "evicted"
    """Its end was accepted; it is not over."""
    GONE = "gone"
    FAILED = "failed"


@dataclass(slots=True)
class PodProgress:
    pod: PodName
    state: PodState = PodState.WAITING
    message: str = ""
    try_at: float = 0.0


async def pods_on(at: ClusterAsCaller, node: str) -> list[dict[str, Any]]:
    """All pods that are bound to a node."""
    found = await at.api.get(POD.path(), what=f"pods of node {node}", params={"fieldSelector": f"spec.nodeName={node}"})
    return list(found.get("items") or [])


async def drain(at: ClusterAsCaller, node: str, pods: Sequence[PodProgress], options: DrainOptions) -> bool:
    """Until all are gone (True), or one cannot be evicted (False). `pods` show how far it is; a time limit cancels it.

    A pod of a 500 is given up: so says the API server that two budgets hold it, which no waiting changes.
    """
    while True:
        await _evict_due(at, pods, options)
        await _mark_gone(at, node, pods)
        if all(each.state is PodState.GONE for each in pods):
            return True
        if any(each.state is PodState.FAILED for each in pods):
            return False
        await asyncio.sleep(LOOK_S)


async def _evict_due(at: ClusterAsCaller, pods: Sequence[PodProgress], options: DrainOptions) -> None:
    places, now = asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def evict(each: PodProgress) -> None:
        async with places:
            await _evict(at, each, options)

    due = [each for each in pods if each.state is PodState.WAITING and each.try_at <= now]
    await asyncio.gather(*(evict(each) for each in due))


async def _evict(at: ClusterAsCaller, progress: PodProgress, options: DrainOptions) -> None:
    pod = progress.pod
    body: Json = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    if options.grace_period_s >= 0:
        body["deleteOptions"]["gracePeriodSeconds"] = options.grace_period_s
    path = POD.path(pod.namespace, pod.name, subresource="eviction")
    try:
        await at.api.post(path, body, what=f"eviction of pod {pod}")
    except (KubeRefusal, ClusterUnreachable) as error:
        _refused(progress, error)
        return
    progress.state, progress.message = PodState.EVICTED, ""


def _refused(progress: PodProgress, error: KsnapError) -> None:
    match error:
        case KubeRefusal(status=404):
            progress.state, progress.message = PodState.GONE, ""
        case KubeRefusal(status=403) if _namespace_ends(error):
            progress.state, progress.message = PodState.EVICTED, "its namespace is being deleted"
        # Of a conflict, another pod has its name by now, the next look at the node says more.
        case KubeRefusal(status=409 | 429) | ClusterUnreachable():
            progress.message, progress.try_at = error.message, time.monotonic() + AGAIN_S
        case KubeRefusal() if is_passing(error) and error.status != 500:
            progress.message, progress.try_at = error.message, time.monotonic() + AGAIN_S
        case _:
            progress.state, progress.message = PodState.FAILED, error.message


def is_passing(error: KsnapError) -> bool:
    """Whether the same request may succeed in a moment."""
    return isinstance(error, ClusterUnreachable) or (isinstance(error, KubeRefusal) and error.status in TRANSIENT)


def _namespace_ends(error: KubeRefusal) -> bool:
    causes = (error.body.get("details") or {}).get("causes") or []
    return any(each.get("reason") == "NamespaceTerminating" for each in causes)


async def _mark_gone(at: ClusterAsCaller, node: str, pods: Sequence[PodProgress]) -> None:
    try:
        there = {each["metadata"]["uid"] for each in await pods_on(at, node)}
    except KsnapError as error:
        if is_passing(error):
            return  # looked at again in a moment
        raise
    for each in pods:
        if each.pod.uid not in there and each.state is not PodState.FAILED:
            each.state, each.message = PodState.GONE, ""
