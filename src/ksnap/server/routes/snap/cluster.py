"""`/cluster/*`: what the clusters' nodes can do, as their agents report it (contract, sections 3.2 and 8).

Reads answer from the store; agents are asked only where their last report is older than a few seconds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ksnap.checkpoints.node_status import NodeState, cluster_state, is_fresh, passes_upstreams
from ksnap.errors import ClusterNotFound, InvalidInput, NotPermitted
from ksnap.node.protocol import NodeReport
from ksnap.server.access import Agent, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Line, Reply, Request, Timestamp
from ksnap.server.routes.snap.names import ClusterName, NodeName
from ksnap.server.services import InServices

router = APIRouter(prefix="/cluster", tags=["clusters"], route_class=RightFirst)

ACTIVE = timedelta(minutes=10)
Word = Annotated[str, Field(max_length=200)]


class Deprecated(Reply):
    """Exactly two keys, as the reference has it."""

    success: Literal[False] = False
    message: str


class Statistics(Reply):
    total_clusters: int
    active_clusters: int
    total_checkpoints: int
    total_nodes: int


class Node(Reply):
    name: str
    status: Literal["ready", "not_ready", "unknown"]
    checkpointing_enabled: bool
    runc_version: str
    last_update: Timestamp
    checks: dict[str, str]
    reason: str
    agent_version: str
    architecture: str
    kernel_version: str
    kubelet_version: str
    container_runtime: str
    criu_version: str
    criu_options: list[str]
    restore_supported: Literal["runtime", "image", "none"]
    restore_reason: str
    image_restore: bool
    free_disk_bytes: int


class ClusterStatus(Reply):
    cluster_name: str
    status: Literal["healthy", "degraded", "unhealthy", "unknown"]
    nodes: list[Node]
    daemonset_status: Literal["running", "degraded", "not_deployed", "unknown"]
    last_update: Timestamp | None


class NodeDetail(Reply):
    node_name: str
    ready: bool
    last_update: Timestamp
    is_recent: bool
    checks: dict[str, str]


class Summary(Reply):
    total_nodes: int
    ready_nodes: int
    not_ready_nodes: int
    overall_status: Literal["ready", "not_ready"]
    node_details: list[NodeDetail]


class ClusterSummary(Reply):
    success: Literal[True] = True
    cluster_status: Summary
    message: str


class Report(Request):
    """One node's report; what upstream's agents do not send is optional."""

    cluster_name: ClusterName
    node_name: NodeName
    timestamp: Line
    """ISO 8601; replaced by the server's time if it is over 5 minutes off."""
    checks: dict[Word, Word] = Field(max_length=50)
    checkpointing_enabled: bool | None = None
    """Absent, as upstream's agents leave it: whether crio, criu and criu_config pass."""
    agent_version: Word = ""
    architecture: Word = ""
    kernel_version: Word = ""
    kubelet_version: Word = ""
    container_runtime: Word = ""
    runc_version: Word = ""
    criu_version: Word = ""
    freeze_obstacle: Word = ""
    criu_options: list[Word] = Field(default_factory=list, max_length=20)
    restore_supported: Literal["runtime", "image", "none"] = "none"
    restore_reason: Annotated[str, Field(max_length=1000)] = ""
    image_restore: bool = False
    free_disk_bytes: int = Field(default=0, ge=0, le=1 << 62)


class NodeStatusItem(Reply):
    node_name: str
    timestamp: Timestamp
    checks: dict[str, str]


class Reported(Reply):
    success: Literal[True] = True
    message: str
    node_status: NodeStatusItem


_TEXTS = {
    "enable_checkpointing": "Checkpointing is now handled automatically by the DaemonSet.",
    "install_runc": "runc installation is now handled automatically by the DaemonSet.",
    "verify_checkpointing": "Cluster verification is now handled automatically by the DaemonSet.",
}


def _deprecated(name: str) -> None:
    """One of the reference's deprecated calls: its body is ignored, whatever it is."""

    async def answer(who: Viewer, reply: Response) -> Deprecated:
        reply.headers["Deprecation"] = "true"
        return Deprecated(message=f"This endpoint is deprecated. {_TEXTS[name]}")

    # A body that FastAPI knew of would be read, and refused where it is no JSON.
    ignored = {"requestBody": {"required": False, "content": {"application/json": {"schema": {}}}}}
    router.post(
        f"/{name}",
        name=name,
        summary="Does nothing any more",
        deprecated=True,
        responses=responses(),
        openapi_extra=ignored,
    )(answer)


for _each in _TEXTS:
    _deprecated(_each)


@router.get("/statistics", summary="Totals over all clusters", responses=responses())
async def statistics(who: Viewer, services: InServices) -> Statistics:
    now = datetime.now(UTC)
    clusters = await services.clusters.list()
    reports = await services.checkpoints.reports.all_stored()
    active = {cluster for cluster, report in reports if is_fresh(report, now)}
    active |= {each.name for each in clusters if each.last_reached_at and now - each.last_reached_at <= ACTIVE}
    return Statistics(
        total_clusters=len(clusters),
        active_clusters=len(active),
        total_checkpoints=await services.checkpoints.records.count_completed(),
        total_nodes=len(reports),
    )


@router.get("/status/summary", summary="The nodes in short", responses=responses(ClusterNotFound))
async def summary(
    who: Viewer, services: InServices, cluster_name: Annotated[ClusterName | None, Query()] = None
) -> ClusterSummary:
    """Of one cluster, or of all together."""
    if cluster_name is None:
        reports = [report for _, report in await services.checkpoints.reports.all_stored()]
        nodes = cluster_state(reports, datetime.now(UTC)).nodes
    else:
        await services.clusters.get(cluster_name)
        nodes = (await services.checkpoints.reports.state(cluster_name)).nodes
    return ClusterSummary(cluster_status=_summary(nodes), message=f"{len(nodes)} nodes")


@router.post("/status/report", summary="An agent reports its node", responses=responses(ClusterNotFound))
async def report(body: Report, who: Agent, services: InServices) -> Reported:
    """For agents that can reach the server; the others are asked. The last report of a node counts."""
    if who.cluster not in {"", body.cluster_name} or who.node not in {"", body.node_name}:
        raise NotPermitted(
            "An agent reports its own node alone",
            details=f"the token is of cluster {who.cluster}" + (f", node {who.node}" if who.node else ""),
        )
    kept = await services.checkpoints.reports.keep(body.cluster_name, _node_report(body))
    item = NodeStatusItem(node_name=kept.node_name, timestamp=kept.timestamp, checks=kept.checks)
    return Reported(message=f"Report of node {kept.node_name} taken", node_status=item)


@router.get("/status/{cluster_name}", summary="What a cluster's nodes can do", responses=responses(ClusterNotFound))
async def status(cluster_name: ClusterName, who: Viewer, services: InServices) -> ClusterStatus:
    await services.clusters.get(cluster_name)
    state = await services.checkpoints.reports.state(cluster_name)
    return ClusterStatus(
        cluster_name=cluster_name,
        status=state.word,
        nodes=[_node(each) for each in state.nodes],
        daemonset_status=state.daemonset,
        last_update=state.last_update,
    )


def _node(state: NodeState) -> Node:
    fields = state.report.model_dump()
    return Node.model_validate(
        fields
        | {
            "name": state.report.node_name,
            "status": state.word,
            "last_update": state.report.timestamp,
            "reason": state.reason,
        }
    )


def _summary(nodes: Sequence[NodeState]) -> Summary:
    ready = sum(each.word == "ready" for each in nodes)
    return Summary(
        total_nodes=len(nodes),
        ready_nodes=ready,
        not_ready_nodes=len(nodes) - ready,
        overall_status="ready" if nodes and ready == len(nodes) else "not_ready",
        node_details=[
            NodeDetail(
                node_name=each.report.node_name,
                ready=each.word == "ready",
                last_update=each.report.timestamp,
                is_recent=each.word != "unknown",
                checks=each.report.checks,
            )
            for each in nodes
        ],
    )


def _node_report(body: Report) -> NodeReport:
    try:
        said = datetime.fromisoformat(body.timestamp)
    except ValueError as error:
        raise InvalidInput("The request is not valid", details="timestamp: not an ISO 8601 time") from error
    enabled = body.checkpointing_enabled
    if enabled is None:
        enabled = passes_upstreams(body.checks)
    fields = body.model_dump(exclude={"cluster_name", "timestamp", "checkpointing_enabled"})
    aware = said.replace(tzinfo=UTC) if said.tzinfo is None else said
    return NodeReport.model_validate(fields | {"timestamp": aware, "checkpointing_enabled": enabled})
