"""The nodes of each hook's cluster, in memory: by a watch, and by what their agents last reported.

The runtime engine is told by the node's own label, which its agent keeps; the image engine by the agent's report. A
watch that has been out of step for too long counts for nothing: its pods start cold.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select

from ksnap.checkpoints.node_status import is_fresh
from ksnap.hooks.decision import Places
from ksnap.hooks.nodes import Node
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.watch.cache import WatchCache
from ksnap.kube.watch.caches import WatchCaches
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource
from ksnap.model.checkpoint_key import RUNTIME_CLASS
from ksnap.node.protocol import NodeReport
from ksnap.store.database import Database
from ksnap.store.tables import NodeStatus

STALE_S = 120.0
_NOWHERE = Places(())


class NodeSpec(Part, frozen=True):
    unschedulable: bool = False


class NodeInfo(Part, frozen=True):
    architecture: str = ""


class NodeCapacity(Part, frozen=True):
    node_info: NodeInfo = NodeInfo()


class WatchedNode(Record, frozen=True):
    """Of a node what a decision needs."""

    spec: NodeSpec = NodeSpec()
    status: NodeCapacity = NodeCapacity()


NODES = Resource("nodes", "Node", WatchedNode, namespaced=False)
CLASSES = Resource("runtimeclasses", "RuntimeClass", Record, group="node.k8s.io", namespaced=False, form="metadata")


@dataclass(slots=True)
class _Facts:
    nodes: WatchCache[WatchedNode]
    classes: WatchCache[Record]
    restoring_images: frozenset[str]
    versions: tuple[str, str, frozenset[str]] | None = None
    """What `made` was made of."""
    made: Places = field(default_factory=lambda: Places(()))


class NodeFacts:
    """Of all clusters that have a hook. `keep` is called from time to time, `of` at each admission."""

    def __init__(self, caches: WatchCaches, connections: ClusterConnections, database: Database) -> None:
        self._caches = caches
        self._connections = connections
        self._database = database
        self._clusters: dict[str, _Facts] = {}

    async def keep(self, cluster: str) -> None:
        """Have the cluster's nodes in memory from now on, or the error that says why not."""
        connection = await self._connections.get(cluster)
        nodes = await self._caches.ready(connection, NODES)
        classes = await self._caches.ready(connection, CLASSES)
        restoring = await self._restoring_images(cluster)
        self._clusters[cluster] = _Facts(nodes, classes, restoring)

    def forget(self, clusters: Iterable[str]) -> None:
        """These have no hook any more; their watches end when nobody else reads them."""
        for each in clusters:
            self._clusters.pop(each, None)

    @property
    def clusters(self) -> Sequence[str]:
        return list(self._clusters)

    def of(self, cluster: str) -> Places:
        """The cluster's nodes as they are now; none if they are not known."""
        facts = self._clusters.get(cluster)
        if facts is None or max(facts.nodes.age_s, facts.classes.age_s) > STALE_S:
            return _NOWHERE
        versions = (facts.nodes.version, facts.classes.version, facts.restoring_images)
        if facts.versions != versions:
            has_class = facts.classes.objects.get("", RUNTIME_CLASS) is not None
            nodes = [
                _node(each, has_class=has_class, restores_images=each.metadata.name in facts.restoring_images)
                for each in facts.nodes.objects
            ]
            facts.made = Places(nodes)
            facts.versions = versions
        return facts.made

    async def _restoring_images(self, cluster: str) -> frozenset[str]:
        now = datetime.now(UTC)
        async with self._database.reading() as session:
            rows = await session.scalars(select(NodeStatus).where(NodeStatus.cluster_name == cluster))
            reports = [NodeReport.model_validate(each.report) for each in rows]
        return frozenset(each.node_name for each in reports if _restores_images(each) and is_fresh(each, now))


def _restores_images(report: NodeReport) -> bool:
    return report.image_restore or report.restore_supported == "image"


def _node(found: WatchedNode, *, has_class: bool, restores_images: bool) -> Node:
    return Node(
        found.metadata.name,
        found.metadata.labels,
        is_schedulable=not found.spec.unschedulable,
        restores_images=restores_images,
        architecture=found.status.node_info.architecture,
        has_class=has_class,
    )
