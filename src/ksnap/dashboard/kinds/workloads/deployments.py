"""Deployments, and which of a Deployment's ReplicaSets is the new one."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ksnap.dashboard.kinds.common import Json, conditions, section, set_only
from ksnap.dashboard.kinds.indexes import BY_OWNER
from ksnap.dashboard.kinds.pods import Pod
from ksnap.dashboard.kinds.workloads.pod_info import (
    BESIDE,
    owners_through,
    pod_info,
    pod_names,
    pods_of,
    status_by_pods,
    uids_behind,
)
from ksnap.dashboard.kinds.workloads.replicated import REPLICA_SETS
from ksnap.dashboard.kinds.workloads.wire import Replicated
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.resource import Resource

TEMPLATE_HASH = "pod-template-hash"


_uids = uids_behind(REPLICA_SETS.resource)


def pods_of_deployment(record: Replicated, around: Around) -> Sequence[Pod]:
    """Those of its ReplicaSets."""
    return [pod for uid in _uids(record, around) for pod in pods_of(uid, around)]


def _row(record: Replicated, around: Around) -> Row:
    info = pod_info(record.current, record.desired, pods_of_deployment(record, around), around)
    return {"pods": info, **record.images.row}


DEPLOYMENTS = Kind(
    Resource("deployments", "Deployment", Replicated, group="apps"),
    type_name="deployment",
    row=_row,
    items="deployments",
    beside=(REPLICA_SETS.resource, *BESIDE),
    status=status_by_pods(owners_through(REPLICA_SETS.resource)),
    metered=Metered("pod", pod_names(_uids)),
    scalable=True,
    restartable=True,
)


def deployment_detail(found: Json) -> Row:
    """What a DeploymentDetail has beyond the list's row."""
    spec, status = section(found, "spec"), section(found, "status")
    rolling = section(spec, "strategy", "rollingUpdate")
    limits = {"maxSurge": rolling.get("maxSurge"), "maxUnavailable": rolling.get("maxUnavailable")} if rolling else None
    return {
        "selector": section(spec, "selector").get("matchLabels") or {},
        "statusInfo": {
            "replicas": status.get("replicas", 0),
            "updated": status.get("updatedReplicas", 0),
            "available": status.get("availableReplicas", 0),
            "unavailable": status.get("unavailableReplicas", 0),
        },
        "conditions": conditions(status.get("conditions")),
        "strategy": section(spec, "strategy").get("type", ""),
        "minReadySeconds": spec.get("minReadySeconds", 0),
        **set_only(rollingUpdateStrategy=limits),
        "revisionHistoryLimit": spec.get("revisionHistoryLimit"),
    }


def new_replica_set(deployment: Json, replica_sets: Iterable[Json]) -> Json | None:
    """The set whose pods are made of the Deployment's template as it is now: kubectl's rule (`FindNewReplicaSet`).

    Between a change of the template and what its controller makes of it there is none. Of several that are equal, the
    oldest counts.
    """
    wanted = _template(deployment)
    equal = [each for each in owned_by(deployment, replica_sets) if _template(each) == wanted]
    return min(
        equal, key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]), default=None
    )


def old_replica_sets(deployment_uid: str, *, but: str) -> Callable[[View[Replicated], Around], Collection[Replicated]]:
    """A Deployment's sets that should have replicas, `but` the new one's uid."""

    def only(replica_sets: View[Replicated], _around: Around) -> Collection[Replicated]:
        own = replica_sets.by(BY_OWNER, deployment_uid) if deployment_uid else ()
        return [each for each in own if each.desired != 0 and each.metadata.uid != but]

    return only


def owned_by(owner: Json, found: Iterable[Json]) -> list[Json]:
    uid = owner["metadata"].get("uid")
    return [
        each for each in found if any(ref.get("uid") == uid for ref in each["metadata"].get("ownerReferences") or ())
    ]


def _template(found: Json) -> dict[str, Any]:
    """A template without what the controller adds to it."""
    template = section(found, "spec", "template")
    metadata = section(template, "metadata")
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels, "creationTimestamp": None}}


NO_REPLICA_SET: Row = {
    "objectMeta": {"creationTimestamp": None},
    "typeMeta": {},
    "podInfo": {"current": 0, "running": 0, "pending": 0, "failed": 0, "succeeded": 0, "warnings": []},
    "containerImages": [],
    "initContainerImages": [],
}
"""What stands for the new ReplicaSet where there is none."""
