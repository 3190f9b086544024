"""One object of any kind: read, changed, deleted (contract, section 16, `_raw`).

A body with a `resourceVersion` replaces the object if nobody has changed it since (Conflict, 409, otherwise), so that
what an editor took out is gone. One without is a patch: strategic for Kubernetes' own kinds, a JSON merge patch for
custom resources. Neither makes an object that is not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import Kind
from ksnap.errors import InvalidInput
from ksnap.kube.connection import MERGE_PATCH, Json

STRATEGIC_PATCH = "application/strategic-merge-patch+json"
NOW_S = 1


class Propagation(StrEnum):
    """What becomes of the objects that a deleted one owns (Kubernetes' "Garbage collection")."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """An object as a path names it."""

    kind: Kind
    name: str
    namespace: str = ""

    @property
    def what(self) -> str:
        return self.kind.what(self.namespace, self.name)

    def path(self, *, version: str = "", subresource: str = "") -> str:
        return self.kind.path(self.namespace, self.name, version=version, subresource=subresource)


async def named(at: ClusterAsCaller, word: str, namespace: str, name: str) -> ObjectName:
    """The object of a path; NotFound if there is no such kind, InvalidInput if it is of no or of a namespace."""
    kind = await at.kinds.named(word)
    kind.check_scope(namespace)
    return ObjectName(kind, name, namespace)


async def read(at: ClusterAsCaller, target: ObjectName) -> Json:
    return await at.api.get(target.path(), what=target.what)


async def update(at: ClusterAsCaller, target: ObjectName, body: Mapping[str, Any]) -> None:
    """Bring the object to what the body says."""
    version = _checked_version(target, body)
    metadata = {**_mapping(body, "metadata"), "name": target.name}
    if target.namespace:
        metadata["namespace"] = target.namespace
    whole = {"kind": target.kind.kind, "apiVersion": target.kind.api_version, **body, "metadata": metadata}
    if not metadata.get("resourceVersion"):
        content_type = STRATEGIC_PATCH if target.kind.is_built_in else MERGE_PATCH
        await at.api.patch(target.path(version=version), whole, what=target.what, content_type=content_type)
        return
    # Some kinds (leases, events) are made by a PUT where they are not there; a uid says which one is meant.
    if not metadata.get("uid"):
        metadata["uid"] = (await read(at, target))["metadata"]["uid"]
    await at.api.put(target.path(version=version), whole, what=target.what)


async def delete(at: ClusterAsCaller, target: ObjectName, propagation: Propagation, *, now: bool) -> None:
    """Have the object deleted; `now` leaves its processes a second to end."""
    options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation.value}
    if now:
        options["gracePeriodSeconds"] = NOW_S
    await at.api.delete(target.path(), body=options, what=target.what)


def _checked_version(target: ObjectName, body: Mapping[str, Any]) -> str:
    """The API version that the body is written in (empty: it says none). InvalidInput if it is another object's."""
    metadata = _mapping(body, "metadata")
    group, _, version = str(body.get("apiVersion", target.kind.api_version)).rpartition("/")
    told = {
        "kind": (body.get("kind", target.kind.kind), target.kind.kind),
        "API group": (group, target.kind.group),
        "name": (metadata.get("name", target.name), target.name),
        "namespace": (metadata.get("namespace") or target.namespace, target.namespace),
    }
    for field, (in_body, in_path) in told.items():
        if in_body != in_path:
            raise InvalidInput(
                f"The body is about another object: its {field} differs from the path's",
                details=f"{str(in_body)[:200]!r} in the body, {in_path!r} in the path",
            )
    if version not in target.kind.versions:
        raise InvalidInput(
            "The cluster does not serve the body's apiVersion",
            details=f"{str(body.get('apiVersion'))[:200]}; it serves {', '.join(target.kind.versions)}",
        )
    return version


def _mapping(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = body.get(field) or {}
    if not isinstance(found, Mapping):
        raise InvalidInput("The body is no Kubernetes object", details=f"{field} is no object")
    return found
