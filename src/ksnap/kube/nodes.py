"""Nodes: what is there."""

from urllib.parse import quote

from ksnap.kube.connection import ClusterConnection, Json


async def get_node(connection: ClusterConnection, node: str) -> Json:
    """One node, or NotFound."""
    return await connection.get(f"/api/v1/nodes/{quote(node, safe='')}", what=f"node {node}")


async def list_nodes(connection: ClusterConnection) -> list[Json]:
    found = await connection.get("/api/v1/nodes", what="nodes", params={"resourceVersion": "0"})
    return list(found.get("items") or [])
