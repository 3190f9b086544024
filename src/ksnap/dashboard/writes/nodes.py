"""Nodes: closed to new pods, and opened again."""

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.writes.known_kinds import NODE
from ksnap.kube.connection import Json


async def cordon(at: ClusterAsCaller, name: str) -> Json:
    """No new pods from now on; the node as it is then. Nothing changes where it is so already."""
    return await _mark(at, name, unschedulable=True)


async def uncordon(at: ClusterAsCaller, name: str) -> Json:
    return await _mark(at, name, unschedulable=None)


async def _mark(at: ClusterAsCaller, name: str, *, unschedulable: bool | None) -> Json:
    change = {"spec": {"unschedulable": unschedulable}}
    return await at.api.patch(NODE.path(name=name), change, what=NODE.what("", name))
