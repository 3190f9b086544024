"""A pod's `controller`: who runs it, with the pods of that one counted (contract, section 15). Pure."""

from ksnap.dashboard.kinds.common import Json, row_of
from ksnap.dashboard.kinds.workloads.owners import WORKLOADS, Owner
from ksnap.dashboard.kinds.workloads.pod_info import pod_info, pods_of
from ksnap.dashboard.selection.shapes import Row, type_meta
from ksnap.dashboard.selection.views import Around


def controller_row(owner: Owner, pod: Json, around: Around) -> Row:
    """The contract's `Owner`. Of a kind that is no workload of Kubernetes' own, or of one that is not to be read, it
    has what is known: its name, and the pods."""
    kind = WORKLOADS.get((owner.group, owner.kind))
    if kind is not None and owner.found is not None:
        row = row_of(kind, owner.found, around)
        return {
            "objectMeta": row["objectMeta"],
            "typeMeta": row["typeMeta"],
            "pods": row.get("podInfo") or row.get("pods"),
            "containerImages": row["containerImages"],
            "initContainerImages": row.get("initContainerImages", ()),
        }
    pods = pods_of(owner.uid, around)
    meta: Row = {"name": owner.name, "creationTimestamp": None, "uid": owner.uid}
    namespace = pod["metadata"].get("namespace", "") if owner.found is None else owner.row.get("namespace", "")
    if namespace and owner.kind != "Node":
        meta["namespace"] = namespace
    return {
        "objectMeta": meta,
        "typeMeta": type_meta(owner.kind.lower()),
        "pods": pod_info(len(pods), None, pods, around),
        "containerImages": [],
        "initContainerImages": [],
    }
