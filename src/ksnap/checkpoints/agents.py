"""Finds the agent of a node, behind the API server's pod proxy, and gives it a token that agents alone take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksnap.errors import CheckpointFailed
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.pod_proxy import PodProxy
from ksnap.kube.pods import list_pods
from ksnap.kube.reviews import ServiceAccountTokens
from ksnap.node.client import AgentClient
from ksnap.node.protocol import AGENT_PORT, AGENT_SELECTOR, AUDIENCE, AUTHORIZATION_HEADER, SERVER_SERVICE_ACCOUNT


class AgentMissing(CheckpointFailed):
    """No agent runs on the node now; one that restarts is back in a moment."""


@dataclass(frozen=True, slots=True)
class FoundAgent:
    node: str
    client: AgentClient


class AgentDirectory:
    """The agents of all clusters. Tokens are kept per connection, so a changed configuration gets new ones."""

    def __init__(self, connections: ClusterConnections) -> None:
        self._connections = connections
        self._tokens: dict[str, tuple[ClusterConnection, ServiceAccountTokens]] = {}

    async def on_node(self, cluster: str, node: str) -> AgentClient:
        """The agent of one node, or AgentMissing."""
        for each in await self.of_cluster(cluster):
            if each.node == node:
                return each.client
        raise AgentMissing(
            "No agent runs on the node",
            details=f"node {node} of cluster {cluster}",
            hint="Install the agent there (helm install ksnap charts/ksnap), or see why its pod is not ready; "
            "without it an archive could not be fetched from the node",
        )

    async def of_cluster(self, cluster: str) -> list[FoundAgent]:
        """Every ready agent of a cluster."""
        connection = await self._connections.get(cluster)
        pods = await list_pods(connection, connection.config.agent_namespace, AGENT_SELECTOR)
        tokens = self._tokens_of(connection)
        return [
            FoundAgent(pod["spec"]["nodeName"], self._client(connection, pod, tokens)) for pod in pods if _is_ready(pod)
        ]

    def _client(
        self, connection: ClusterConnection, pod: Mapping[str, Any], tokens: ServiceAccountTokens
    ) -> AgentClient:
        proxy = PodProxy(
            connection,
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            port=AGENT_PORT,
            header=AUTHORIZATION_HEADER,
            tokens=tokens,
        )
        return AgentClient(proxy)

    def _tokens_of(self, connection: ClusterConnection) -> ServiceAccountTokens:
        known = self._tokens.get(connection.name)
        if known is not None and known[0] is connection:
            return known[1]
        tokens = ServiceAccountTokens(
            connection,
            namespace=connection.config.agent_namespace,
            account=SERVER_SERVICE_ACCOUNT,
            audience=AUDIENCE,
        )
        self._tokens[connection.name] = (connection, tokens)
        return tokens


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp") or not pod["spec"].get("nodeName"):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
