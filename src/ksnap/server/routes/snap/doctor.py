"""`/cluster/{cluster_name}/doctor`: what can be frozen and restored, and what is missing, before anyone tries.

Two routes and not one with options, since they answer for different things: the nodes are told of from the store where
the cluster does not answer, as its status is; a pod is known to the API server alone, without which there is no answer.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from ksnap.checkpoints import findings as found
from ksnap.checkpoints.node_doctor import NodeDiagnosis
from ksnap.errors import ClusterConnectionFailed, ClusterNotFound, NotFound
from ksnap.server.access import RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Reply, Timestamp
from ksnap.server.routes.snap.names import ClusterName, Namespace, PodName
from ksnap.server.services import InServices

router = APIRouter(prefix="/cluster", tags=["clusters"], route_class=RightFirst)


class Finding(Reply):
    """One thing that was looked at."""

    id: str = Field(description="Stable, for scripts")
    level: Literal["ok", "unknown", "warning", "problem"] = Field(
        description="As it should be; cannot be told from here; works with a consequence; will not work until changed"
    )
    message: str
    remedy: str = Field(description="What to do, with the exact lines to add; a line with # says where they belong")


class Freeze(Reply):
    able: bool
    findings: list[Finding]


class Restore(Reply):
    """By which engines; one is enough."""

    runtime: bool
    image: bool
    findings: list[Finding]


class NodeDoctor(Reply):
    """A node without a report has empty findings for both: nothing is known of it."""

    name: str
    agent_answers: bool | None = Field(description="null where it could not be asked")
    last_update: Timestamp | None
    container_runtime: str
    findings: list[Finding] = Field(description="Of the node's agent")
    checkpoint: Freeze
    restore: Restore


class ClusterDoctor(Reply):
    cluster_name: str
    problems: int = Field(description="How many findings are of the level problem, the nodes' too")
    findings: list[Finding] = Field(description="Of the cluster as a whole")
    nodes: list[NodeDoctor]


class ContainerDoctor(Reply):
    container_name: str
    findings: list[Finding]


class PodDoctor(Reply):
    cluster_name: str
    namespace: str
    pod_name: str
    node_name: str
    looked_at: list[str] = Field(description="What the findings rest on; what is not here was not looked at")
    problems: int = Field(description="How many findings are of the level problem; none is no promise of a freeze")
    findings: list[Finding] = Field(description="Of the pod as a whole")
    containers: list[ContainerDoctor]


@router.get(
    "/{cluster_name}/doctor", summary="What each node lacks to freeze and restore", responses=responses(ClusterNotFound)
)
async def cluster_doctor(cluster_name: ClusterName, who: Viewer, services: InServices) -> ClusterDoctor:
    """By the nodes' own reports, asked for now; where the cluster does not answer, by the last ones."""
    await services.clusters.get(cluster_name)
    diagnosis = await services.doctor.cluster(cluster_name)
    return ClusterDoctor(
        cluster_name=cluster_name,
        problems=found.problems(diagnosis.all_findings),
        findings=_findings(diagnosis.findings),
        nodes=[_node(each) for each in diagnosis.nodes],
    )


@router.get(
    "/{cluster_name}/doctor/pod",
    summary="What stands in the way of freezing a pod",
    responses=responses(ClusterNotFound, NotFound, ClusterConnectionFailed),
)
async def pod_doctor(
    cluster_name: ClusterName,
    who: Viewer,
    services: InServices,
    namespace: Annotated[Namespace, Query()],
    pod_name: Annotated[PodName, Query()],
) -> PodDoctor:
    """By its spec, its status and its node's report: nobody looks into its processes, so this never says that it can
    be frozen, only what is known to stand in the way, what may, and what was not looked at."""
    await services.clusters.get(cluster_name)
    diagnosis = await services.doctor.pod(cluster_name, namespace, pod_name)
    return PodDoctor(
        cluster_name=cluster_name,
        namespace=diagnosis.namespace,
        pod_name=diagnosis.pod,
        node_name=diagnosis.node,
        looked_at=list(diagnosis.looked_at),
        problems=found.problems(diagnosis.all_findings),
        findings=_findings(diagnosis.findings),
        containers=[
            ContainerDoctor(container_name=each.name, findings=_findings(each.findings))
            for each in diagnosis.containers
        ],
    )


def _node(node: NodeDiagnosis) -> NodeDoctor:
    return NodeDoctor(
        name=node.name,
        agent_answers=node.agent_answers,
        last_update=node.report.timestamp if node.report else None,
        container_runtime=node.report.container_runtime if node.report else "",
        findings=_findings(node.agent),
        checkpoint=Freeze(able=node.freezes, findings=_findings(node.freeze)),
        restore=Restore(
            runtime=node.restores_by_runtime, image=node.restores_by_image, findings=_findings(node.restore)
        ),
    )


def _findings(findings: Sequence[found.Finding]) -> list[Finding]:
    return [Finding(id=each.id, level=each.level.value, message=each.message, remedy=each.remedy) for each in findings]
