"""Who owns an object, up to the root: a Pod's ReplicaSet, its Deployment, and what made that one.

Each owner is read as the caller, whatever kind it is of. The chain ends where there is no further owner, or with the
name of one that is gone or may not be seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import read
from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.workloads.cronjobs import CRON_JOBS
from ksnap.dashboard.kinds.workloads.daemonsets import DAEMON_SETS
from ksnap.dashboard.kinds.workloads.deployments import DEPLOYMENTS
from ksnap.dashboard.kinds.workloads.jobs import JOBS
from ksnap.dashboard.kinds.workloads.replicated import REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.statuses import ErrStatus, add_error
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

# Chains of real operators have three or four.
LONGEST = 10
WORKLOADS: Mapping[tuple[str, str], Kind[Any]] = {
    (each.resource.group, each.resource.kind): each
    for each in (
        CRON_JOBS,
        DAEMON_SETS,
        DEPLOYMENTS,
        JOBS,
        REPLICA_SETS,
        REPLICATION_CONTROLLERS,
        STATEFUL_SETS,
    )
}
"""By group and kind."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner, as the object that it owns names it."""

    kind: str
    name: str
    api_version: str
    uid: str
    found: Json | None = None
    """The owner itself, if it could be read."""

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def row(self) -> Row:
        """An item of `ownerChain`."""
        row = {"kind": self.kind, "name": self.name, "apiVersion": self.api_version, "uid": self.uid}
        namespace = (self.found or {}).get("metadata", {}).get("namespace", "")
        return {**row, "namespace": namespace} if namespace else row


def controller_of(found: Json) -> Json | None:
    """The reference to who controls an object; to its first owner, if nobody does."""
    references: Sequence[Json] = found.get("metadata", {}).get("ownerReferences") or ()
    controlling = [each for each in references if each.get("controller")]
    return next(iter([*controlling, *references]), None)


async def owner_chain(at: ClusterAsCaller, found: Json, errors: list[ErrStatus]) -> list[Owner]:
    """The owners of an object, the nearest first. What may not be seen is told in `errors`. A ring of references, which
    Kubernetes allows, ends where it would begin anew."""
    namespace = found.get("metadata", {}).get("namespace", "")
    chain: list[Owner] = []
    current: Json | None = found
    while current is not None and len(chain) < LONGEST:
        reference = controller_of(current)
        if reference is None or any(each.uid == reference.get("uid") for each in chain):
            break
        current = await _read(at, reference, namespace, errors)
        chain.append(_owner(reference, current))
    return chain


def _owner(reference: Json, found: Json | None) -> Owner:
    kind, name = reference.get("kind", ""), reference.get("name", "")
    return Owner(kind, name, reference.get("apiVersion", ""), reference.get("uid", ""), found)


async def _read(at: ClusterAsCaller, reference: Json, namespace: str, errors: list[ErrStatus]) -> Json | None:
    """The owner, unless it is gone: another object of its name has another uid. An API group that is out of order must
    not take the pods with it that its objects own."""
    try:
        resource = await _resource(at, reference)
        if resource is None:
            return None
        where = namespace if resource.namespaced else ""
        found = await read(at, resource, reference.get("name", ""), where)
    except KubeRefusal as error:
        if error.status != 404:
            add_error(errors, error)
        return None
    return found if found["metadata"].get("uid") == reference.get("uid") else None


async def _resource(at: ClusterAsCaller, reference: Json) -> Resource[Any] | None:
    """What a reference is of: by the API's own word where we do not know the kind. None if the API has no such kind."""
    api_version, kind = reference.get("apiVersion", ""), reference.get("kind", "")
    group, _, version = api_version.rpartition("/")
    known = WORKLOADS.get((group, kind))
    if known is not None:
        return known.resource
    path = f"/apis/{api_version}" if group else f"/api/{version}"
    listed = await at.api.get(path, what=f"resources of {api_version}")
    for each in listed.get("resources") or ():
        if each.get("kind") == kind and "/" not in each.get("name", ""):
            return Resource(each["name"], kind, Record, group, version, namespaced=bool(each.get("namespaced")))
    return None
