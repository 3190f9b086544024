"""How many replicas: of any kind that has the subresource `scale`, custom ones too."""

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.writes.raw import ObjectName
from ksnap.errors import InvalidInput
from ksnap.kube.connection import Json

# What Kubernetes' own replica counts hold.
MOST = 2**31 - 1


async def counts(at: ClusterAsCaller, target: ObjectName) -> dict[str, int]:
    """The contract's ReplicaCounts."""
    return _counts(await at.api.get(_path(target), what=target.what))


async def set_replicas(at: ClusterAsCaller, target: ObjectName, replicas: int) -> dict[str, int]:
    """Ask for this many. One patch: nothing is read first that might have changed meanwhile."""
    check_replicas(replicas)
    return _counts(await at.api.patch(_path(target), {"spec": {"replicas": replicas}}, what=target.what))


def check_replicas(replicas: int) -> None:
    if not 0 <= replicas <= MOST:
        raise InvalidInput("The number of replicas is not possible", details=f"{replicas}; from 0 to {MOST}")


def _path(target: ObjectName) -> str:
    if "scale" not in target.kind.subresources:
        raise InvalidInput(f"A {target.kind.kind.lower()} cannot be scaled", details=target.what)
    return target.path(subresource="scale")


def _counts(scale: Json) -> dict[str, int]:
    desired, actual = scale.get("spec") or {}, scale.get("status") or {}
    return {"desiredReplicas": int(desired.get("replicas", 0)), "actualReplicas": int(actual.get("replicas", 0))}
