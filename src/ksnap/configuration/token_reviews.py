"""Agents' tokens, put before the cluster that made them: the identity room's `TokenReviewer` over the kube room."""

from pydantic import SecretStr

from ksnap.configuration.clusters import Clusters
from ksnap.errors import ClusterNotFound, NotAuthenticated
from ksnap.identity.agents import ReviewedAccount
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.reviews import review_token

# What an agent's projected token must be made for to be taken by the server.
SERVER_AUDIENCE = "ksnap-server"


class ClusterReviews:
    """Asks the registered clusters."""

    def __init__(self, clusters: Clusters, connections: ClusterConnections) -> None:
        self._clusters = clusters
        self._connections = connections

    async def review_token(self, cluster: str, token: str) -> ReviewedAccount | None:
        try:
            owner = await review_token(await self._connections.get(cluster), SecretStr(token), SERVER_AUDIENCE)
        except (NotAuthenticated, ClusterNotFound):
            return None
        return ReviewedAccount(owner.username, owner.node_name)

    async def cluster_names(self) -> list[str]:
        return await self._clusters.names()
