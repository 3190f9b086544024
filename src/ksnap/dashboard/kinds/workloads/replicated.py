"""ReplicaSets, ReplicationControllers and StatefulSets: their rows are alike (contract, section 15)."""

from collections.abc import Sequence

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.kinds.pods import Pod
from ksnap.dashboard.kinds.workloads.pod_info import BESIDE, own_uid, pod_info, pod_names, pods_of, status_by_pods
from ksnap.dashboard.kinds.workloads.wire import Replicated
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.resource import Resource


def own_pods(record: Replicated, around: Around) -> Sequence[Pod]:
    return pods_of(record.metadata.uid, around)


def _row(record: Replicated, around: Around) -> Row:
    info = pod_info(record.current, record.desired, own_pods(record, around), around)
    return {"podInfo": info, **record.images.row}


_METERED = Metered("pod", pod_names(own_uid))

REPLICA_SETS = Kind(
    Resource("replicasets", "ReplicaSet", Replicated, group="apps"),
    type_name="replicaset",
    row=_row,
    items="replicaSets",
    beside=BESIDE,
    status=status_by_pods(),
    metered=_METERED,
    scalable=True,
)
REPLICATION_CONTROLLERS = Kind(
    Resource("replicationcontrollers", "ReplicationController", Replicated),
    type_name="replicationcontroller",
    row=_row,
    items="replicationControllers",
    beside=BESIDE,
    status=status_by_pods(),
    metered=_METERED,
    scalable=True,
)
STATEFUL_SETS = Kind(
    Resource("statefulsets", "StatefulSet", Replicated, group="apps"),
    type_name="statefulset",
    row=_row,
    items="statefulSets",
    beside=BESIDE,
    status=status_by_pods(),
    metered=_METERED,
    scalable=True,
    restartable=True,
)


def replica_set_detail(found: Json) -> Row:
    """What a ReplicaSetDetail has beyond the list's row, but for what scales it."""
    return {"selector": section(found, "spec").get("selector")}


def replication_controller_detail(found: Json) -> Row:
    return {"labelSelector": section(found, "spec", "selector")}


def stateful_set_detail(_found: Json) -> Row:
    """Nothing."""
    return {}
