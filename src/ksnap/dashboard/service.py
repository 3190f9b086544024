"""Opens a cluster for somebody, and says which cluster is the default one (architecture, decision 9)."""

import time
from dataclasses import dataclass, field

from ksnap.configuration.clusters import Clusters
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import ClusterKinds, Discovery
from ksnap.dashboard.reviews import AccessReviews, Reviews
from ksnap.errors import ClusterNotFound
from ksnap.identity.principal import Principal
from ksnap.kube.caller import Caller
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.connections import ClusterConnections

DEFAULT_NAME = "default"
# A changed configuration counts after this at the latest; until then no request pays for reading it.
FRESH_S = 2.0


@dataclass(slots=True)
class Dashboard:
    """The clusters of an installation, for callers of all kinds."""

    clusters: Clusters
    connections: ClusterConnections
    default_cluster: str
    """As set; empty: the one named `default`, else the only one."""
    _reviews: AccessReviews = field(default_factory=AccessReviews)
    _discovery: Discovery = field(default_factory=Discovery)
    _connected: dict[str, tuple[float, str, ClusterConnection]] = field(default_factory=dict)

    async def at(self, cluster: str, caller: Caller) -> ClusterAsCaller:
        """A cluster (empty: the default one) for a caller. ClusterNotFound if it is not configured."""
        name, own = await self._connection(cluster)
        reviews, kinds = Reviews(self._reviews, own, caller), ClusterKinds(self._discovery, own)
        return ClusterAsCaller(name, caller, own.acting(caller), own, reviews, kinds)

    async def close(self) -> None:
        await self._reviews.close()

    async def _connection(self, cluster: str) -> tuple[str, ClusterConnection]:
        known = self._connected.get(cluster)
        now = time.monotonic()
        if known is not None and now - known[0] < FRESH_S:
            return known[1], known[2]
        self._connected.pop(cluster, None)
        name = cluster or await self._default()
        own = await self.connections.get(name)
        self._connected[cluster] = (now, name, own)
        return name, own

    async def _default(self) -> str:
        if self.default_cluster:
            return self.default_cluster
        names = await self.clusters.names()
        if DEFAULT_NAME in names:
            return DEFAULT_NAME
        if len(names) == 1:
            return names[0]
        raise ClusterNotFound(
            "No cluster is the default one",
            details=f"{len(names)} clusters are configured" if names else "no cluster is configured",
            hint="Name one by KSNAP_DEFAULT_CLUSTER, or in the path: /clusters/NAME/api/v1/..." if names else "Add one",
        )


def caller_of(principal: Principal) -> Caller:
    """A user of ksnap in a cluster: `ksnap:<user>` in the group `ksnap:<role>` (architecture, decision 8)."""
    return Caller(user=f"ksnap:{principal.username}", groups=(f"ksnap:{principal.role}",))
