"""What the agents' reports mean for a cluster (contract, section 8). Pure: time is an argument."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ksnap.node.protocol import NodeReport

# The contract's own figure: an agent reports once a minute, so ten are missing.
FRESH = timedelta(minutes=10)
# A node's clock that is further off than this is not believed.
CLOCK_TOLERANCE = timedelta(minutes=5)

_NEEDED = ("runtime", "crio", "criu", "checkpoint")
_UPSTREAMS = {
    "crio": ("crio:crio version", "crio:pass"),
    "criu": ("criu:Version:", "criu:pass"),
    "criu_config": ("criu_config:pass",),
}

NodeWord = Literal["ready", "not_ready", "unknown"]
ClusterWord = Literal["healthy", "degraded", "unhealthy", "unknown"]
DaemonSetWord = Literal["running", "degraded", "not_deployed", "unknown"]


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node as a reader sees it."""

    report: NodeReport
    word: NodeWord
    reason: str
    """Empty where the node is ready."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    word: ClusterWord
    daemonset: DaemonSetWord
    nodes: list[NodeState]
    last_update: datetime | None


def reported_at(said: datetime, received: datetime) -> datetime:
    """When a report was made: as it says, unless its clock is off."""
    return said if abs(said - received) <= CLOCK_TOLERANCE else received


def node_state(report: NodeReport, now: datetime) -> NodeState:
    if not is_fresh(report, now):
        return NodeState(report, "unknown", f"no report since {report.timestamp:%Y-%m-%dT%H:%M:%SZ}")
    if not report.checkpointing_enabled or failed_needs(report.checks):
        return NodeState(report, "not_ready", _why_not(report))
    return NodeState(report, "ready", "")


def failed_needs(checks: Mapping[str, str]) -> list[str]:
    """Those checks that a freeze cannot do without and that failed, whatever else the agent says of its node.

    Not `criu_config` (without tcp-close a pod without connections can be frozen) and not `restore`.
    """
    return [name for name in _NEEDED if f"{name}:fail" in checks.get(name, "")]


def passes_upstreams(checks: Mapping[str, str]) -> bool:
    """Whether a node is ready by the three checks of upstream's agents, which say nothing else of it."""
    return all(checks.get(name, "").startswith(prefixes) for name, prefixes in _UPSTREAMS.items())


def is_fresh(report: NodeReport, now: datetime) -> bool:
    return now - report.timestamp <= FRESH


def cluster_state(
    reports: Sequence[NodeReport], now: datetime, *, schedulable: frozenset[str] | None = None
) -> ClusterState:
    """The cluster's words. `schedulable`: the nodes that must have an agent, where that is known."""
    nodes = [node_state(each, now) for each in sorted(reports, key=lambda each: each.node_name)]
    return ClusterState(
        word=_cluster_word(nodes),
        daemonset=_daemonset_word(nodes, schedulable),
        nodes=nodes,
        last_update=max((each.timestamp for each in reports), default=None),
    )


def _cluster_word(nodes: Sequence[NodeState]) -> ClusterWord:
    if all(each.word == "unknown" for each in nodes):
        return "unknown"
    ready = sum(each.word == "ready" for each in nodes)
    if ready == len(nodes):
        return "healthy"
    return "degraded" if ready else "unhealthy"


def _daemonset_word(nodes: Sequence[NodeState], schedulable: frozenset[str] | None) -> DaemonSetWord:
    if not nodes:
        return "not_deployed"
    fresh = {each.report.node_name for each in nodes if each.word != "unknown"}
    if not fresh:
        return "unknown"
    needed = schedulable or {each.report.node_name for each in nodes}
    return "running" if needed <= fresh else "degraded"


def _why_not(report: NodeReport) -> str:
    failed = [f"{name}: {value}" for name, value in sorted(report.checks.items()) if ":fail" in value]
    return "; ".join(failed) or "the node's agent says that checkpointing is not enabled"
