"""Nodes: the record, the row with what their pods reserve, and the detail (contract, section 15)."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from ksnap.dashboard.kinds.common import Json, conditions, row_of, section, set_only
from ksnap.dashboard.kinds.events import BY_INVOLVED, Event
from ksnap.dashboard.kinds.pod_resources import Allocated
from ksnap.dashboard.kinds.pod_status import ENDED
from ksnap.dashboard.kinds.pods import BY_NODE, PODS, Pod
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.metrics import Name
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource
from ksnap.model.quantity import milli, whole


class NodeCondition(Part, frozen=True):
    type: str = ""
    status: str = ""


class NodeStatus(Part, frozen=True):
    capacity: dict[str, str] | None = None
    allocatable: dict[str, str] | None = None
    conditions: tuple[NodeCondition, ...] = ()
    node_info: dict[str, Any] = msgspec.field(default_factory=dict)


class Taint(Part, frozen=True):
    key: str = ""
    time_added: str | None = None


class NodeSpec(Part, frozen=True):
    """What watchers go by."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class Node(Record, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> str:
        return next((each.status for each in self.status.conditions if each.type == "Ready"), "Unknown")


def _row(node: Node, around: Around) -> Row:
    return {
        "ready": node.ready,
        "allocatedResources": allocated(node, around.view(PODS.resource).by(BY_NODE, node.metadata.name)),
        "nodeInfo": node.status.node_info,
    }


def allocated(node: Node, pods: Iterable[Pod]) -> Row:
    """NodeAllocated: what the node's pods reserve of what it has for pods. Those that have ended reserve nothing."""
    there = [each.allocated for each in pods if each.phase not in ENDED]
    total = Allocated(
        sum(each.cpu_requests for each in there),
        sum(each.cpu_limits for each in there),
        sum(each.memory_requests for each in there),
        sum(each.memory_limits for each in there),
    )
    has = node.status.allocatable or node.status.capacity or {}
    cpu, memory = milli(has.get("cpu", "0")), whole(has.get("memory", "0"))
    places = whole((node.status.capacity or {}).get("pods", "0"))
    return {
        "cpuRequests": total.cpu_requests,
        "cpuRequestsFraction": _percent(total.cpu_requests, cpu),
        "cpuLimits": total.cpu_limits,
        "cpuLimitsFraction": _percent(total.cpu_limits, cpu),
        "cpuCapacity": cpu,
        "memoryRequests": total.memory_requests,
        "memoryRequestsFraction": _percent(total.memory_requests, memory),
        "memoryLimits": total.memory_limits,
        "memoryLimitsFraction": _percent(total.memory_limits, memory),
        "memoryCapacity": memory,
        "allocatedPods": len(there),
        "podCapacity": places,
        "podFraction": _percent(len(there), places),
    }


def _percent(part: int, whole_: int) -> float:
    return part * 100 / whole_ if whole_ else 0.0


def _names(nodes: Iterable[Node], _around: Around) -> list[Name]:
    return [("", each.metadata.name) for each in nodes]


NODES = Kind(
    Resource("nodes", "Node", Node, namespaced=False),
    type_name="node",
    row=_row,
    items="nodes",
    beside=(PODS.resource,),
    metered=Metered("node", _names),
)


def node_detail(found: Json, around: Around) -> Row:
    """Without its lists and metrics, which come from elsewhere. `around` has the pods that the caller may see."""
    spec, status = section(found, "spec"), section(found, "status")
    return {
        **row_of(NODES, found, around),
        "phase": status.get("phase", ""),
        "podCIDR": spec.get("podCIDR", ""),
        "providerID": spec.get("providerID", ""),
        "unschedulable": spec.get("unschedulable", False),
        "conditions": conditions(status.get("conditions")),
        "containerImages": [name for image in status.get("images") or () for name in image.get("names") or ()],
        **set_only(taints=spec.get("taints"), addresses=status.get("addresses")),
        "errors": list(around.errors),
    }


def pods_on(pods: View[Pod], node: str) -> Collection[Pod]:
    """Also those that have ended: they are still there to be looked at."""
    return pods.by(BY_NODE, node)


def events_about(events: View[Event], name: str, uid: str) -> Collection[Event]:
    """Kubelets name their node by its name in place of its uid."""
    found = events.by(BY_INVOLVED, ("Node", "", name))
    return [each for each in found if not uid or each.involved_object.uid in {"", uid, name}]
