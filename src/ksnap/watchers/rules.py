"""Which pods a watcher freezes, which of their containers, and why not the others. Pure.

Two looks: one at what the watch cache keeps of every pod, and one at the whole pod, which is read only when the first
look says that it may be time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.dashboard.kinds.cluster.nodes import Node
from ksnap.dashboard.kinds.pods import Pod
from ksnap.model.snap_labels import ALIAS, SNAP, is_mutated, wanted_containers, wants_snap
from ksnap.watchers.definition import Definition
from ksnap.watchers.triggers import CORDONED, drain_occasion

NEVER = frozenset({"kube-system"})


@dataclass(frozen=True, slots=True)
class Look:
    """What the first look says. `why` is empty for a pod that may be frozen, and for one that never asked."""

    may: bool
    why: str = ""
    ignored: bool = False
    """It is none of this watcher's pods, and never will be as it is."""


YES = Look(may=True)
NOT_ASKED = Look(may=False, ignored=True)


def look(pod: Pod, watcher: Definition, *, own_namespace: str) -> Look:
    """What the record of a pod says."""
    if not _is_meant(pod, watcher):
        return NOT_ASKED
    if why := _never(pod, own_namespace):
        return Look(may=False, why=why, ignored=True)
    if why := _not_now(pod):
        return Look(may=False, why=why)
    return YES


def _is_meant(pod: Pod, watcher: Definition) -> bool:
    metadata = pod.metadata
    return (
        (SNAP in metadata.labels or f"{ALIAS}/snap" in metadata.labels)
        and watcher.only_namespace in {"", metadata.namespace}
        and all(metadata.labels.get(name) == value for name, value in watcher.options.selector.items())
    )


def _never(pod: Pod, own_namespace: str) -> str:
    metadata = pod.metadata
    if not wants_snap({"labels": metadata.labels}):
        return f"its label {SNAP} has not the value true"
    if metadata.namespace in NEVER or metadata.namespace == own_namespace:
        return f"pods of namespace {metadata.namespace} are never frozen"
    if is_mutated({"labels": metadata.labels}):
        return "it starts from a checkpoint already: a hook has patched it"
    return ""


def _not_now(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is not None:
        return "it is being deleted"
    if pod.phase in {"Succeeded", "Failed"}:
        return f"it has ended: {pod.phase}"
    if pod.phase != "Running" or not pod.is_settled:
        return f"it is not Ready: {pod.text or pod.phase or 'just made'}"
    return ""


def containers(pod: Mapping[str, Any], watcher: Definition) -> list[str]:
    """The containers to freeze: the watcher's own choice, else the pod's."""
    if not watcher.options.containers:
        return wanted_containers(pod)
    names = [str(each.get("name", "")) for each in (pod.get("spec") or {}).get("containers") or []]
    return [each for each in names if each in watcher.options.containers]


def unfit(pod: Mapping[str, Any], container: str) -> str:
    """Why a container of a whole pod cannot be frozen now; empty if it can."""
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return "it is being deleted"
    status = pod.get("status") or {}
    if status.get("phase") != "Running":
        return f"it is not running: {status.get('phase', '')}"
    if not _is_true(status.get("conditions") or [], "Ready"):
        return "it is not Ready"
    for each in status.get("containerStatuses") or []:
        if each.get("name") == container:
            if "running" not in (each.get("state") or {}):
                return f"container {container} is not running"
            return "" if each.get("started") is True else f"container {container} has not started"
    return f"container {container} has no status"


def cordon_of(node: Node) -> str | None:
    """The occasion of a node's cordon; None while it is not cordoned, or its taint, which says since when, is not there
    yet: the cluster adds it a moment later."""
    if not node.spec.unschedulable:
        return None
    added = next((each.time_added for each in node.spec.taints if each.key == CORDONED and each.time_added), None)
    return drain_occasion(node.metadata.name, added) if added is not None else None


def controller_of(pod: Mapping[str, Any]) -> str:
    """`Kind/name` of what makes the pod again, empty if nothing does."""
    for each in (pod.get("metadata") or {}).get("ownerReferences") or []:
        if each.get("controller"):
            return f"{each.get('kind', '')}/{each.get('name', '')}"
    return ""


def _is_true(conditions: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(each.get("type") == name and each.get("status") == "True" for each in conditions)
