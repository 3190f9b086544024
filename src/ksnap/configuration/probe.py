"""Tests a cluster on demand: does it answer, does it take our credentials, may we do what jobs need?"""

from dataclasses import dataclass

from ksnap.kube.connection import ClusterConnection
from ksnap.kube.reviews import may
from ksnap.node.protocol import SERVER_SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that a job does in a cluster."""

    verb: str
    resource: str
    subresource: str = ""
    group: str = ""
    in_agents_namespace: bool = False
    name: str = ""
    """Of the one object that it is about; a role may name it."""

    def __str__(self) -> str:
        resource = "/".join(part for part in (self.resource, self.subresource) if part)
        return f"{self.verb} {resource}"


# To freeze; to restore, with pull credentials and the pull's time, and to undo that; to find agents and talk to them.
# docs/guides/install.md has a role with those over workloads, the chart one with those over agents.
# Pods with hooks need pods/exec too; a cluster without them lacks nothing, so that is asked when a hook is to run.
NEEDED = (
    Right("get", "pods"),
    Right("get", "nodes"),
    Right("list", "nodes"),
    Right("create", "pods"),
    Right("watch", "pods"),
    Right("delete", "pods"),
    Right("create", "secrets"),
    Right("patch", "secrets"),
    Right("delete", "secrets"),
    Right("list", "events"),
    Right("list", "pods", in_agents_namespace=True),
    Right("get", "pods", "proxy", in_agents_namespace=True),
    Right("create", "pods", "proxy", in_agents_namespace=True),
    Right("update", "pods", "proxy", in_agents_namespace=True),
    Right("delete", "pods", "proxy", in_agents_namespace=True),
    Right("create", "serviceaccounts", "token", in_agents_namespace=True, name=SERVER_SERVICE_ACCOUNT),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a test found."""

    kubernetes_version: str
    missing_rights: tuple[str, ...]


async def probe(connection: ClusterConnection) -> Probe:
    """Ask the cluster; ClusterConnectionFailed if it does not answer or refuses us."""
    version = await connection.get("/version", what="version")
    missing = [str(right) for right in NEEDED if not await _may(connection, right)]
    return Probe(str(version.get("gitVersion", "")), tuple(missing))


async def _may(connection: ClusterConnection, right: Right) -> bool:
    return await may(
        connection,
        right.verb,
        right.resource,
        subresource=right.subresource,
        group=right.group,
        namespace=connection.config.agent_namespace if right.in_agents_namespace else "",
        name=right.name,
    )
