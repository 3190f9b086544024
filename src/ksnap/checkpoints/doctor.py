"""Looks a cluster or a pod over before anyone tries to freeze it: gathers the facts, lets others judge them.

`node_doctor.py` and `pod_doctor.py` judge. Reading changes nothing, on nodes neither: the agents' reports and the API
server's own words are all that is used.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from ksnap.checkpoints.node_doctor import ClusterDiagnosis, diagnose_cluster
from ksnap.checkpoints.node_reports import NodeReports
from ksnap.checkpoints.pod_doctor import PodDiagnosis, diagnose_pod
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.pods import get_pod

# Longer than a status waits, and than one agent may take: whether each of them answers is part of the question.
LOOK_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Doctor:
    """Diagnoses; makes nothing better by itself."""

    connections: ClusterConnections
    reports: NodeReports
    agent_namespace: str

    async def cluster(self, name: str) -> ClusterDiagnosis:
        """All nodes of a cluster; of one that does not answer, what its agents said before."""
        look = await self.reports.look(name, wait_s=LOOK_WAIT_S)
        return diagnose_cluster(name, look, datetime.now(UTC), namespace=self.agent_namespace)

    async def pod(self, cluster: str, namespace: str, pod: str) -> PodDiagnosis:
        """One pod; NotFound, or ClusterConnectionFailed where nobody can say whether there is one."""
        found = await get_pod(await self.connections.get(cluster), namespace, pod)
        nodes = await self.cluster(cluster)
        return diagnose_pod(found, nodes.node(str(found["spec"].get("nodeName") or "")))
