"""Persistent volumes and storage classes."""

from collections.abc import Collection

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource

# PersistentVolumeSpec holds its source as one of many fields beside these (core/v1).
_NO_SOURCES = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)


class ClaimRef(Part, frozen=True):
    namespace: str = ""
    name: str = ""


class VolumeSpec(Part, frozen=True):
    capacity: dict[str, str] | None = None
    access_modes: tuple[str, ...] = ()
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    mount_options: tuple[str, ...] = ()
    claim_ref: ClaimRef | None = None


class VolumeStatus(Part, frozen=True):
    phase: str = ""
    reason: str = ""


class Volume(Record, frozen=True):
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


def _row(volume: Volume, _around: Around) -> Row:
    spec, claim = volume.spec, volume.spec.claim_ref
    return {
        "capacity": spec.capacity or {},
        "accessModes": spec.access_modes,
        "reclaimPolicy": spec.persistent_volume_reclaim_policy,
        "storageClass": spec.storage_class_name,
        "mountOptions": spec.mount_options,
        "status": volume.status.phase,
        "claim": f"{claim.namespace}/{claim.name}" if claim is not None else "",
        "reason": volume.status.reason,
    }


VOLUMES = Kind(
    Resource("persistentvolumes", "PersistentVolume", Volume, namespaced=False),
    type_name="persistentvolume",
    row=_row,
    properties=(text("status", lambda volume: volume.status.phase),),
)


def volume_detail(found: Json) -> Row:
    sources = {name: value for name, value in section(found, "spec").items() if name not in _NO_SOURCES}
    message = section(found, "status").get("message", "")
    return detail_of(VOLUMES, found, message=message, persistentVolumeSource=sources)


BY_CLASS: Index[Volume] = Index("storage class", lambda volume: (volume.spec.storage_class_name,))


def of_class(volumes: View[Volume], name: str) -> Collection[Volume]:
    return volumes.by(BY_CLASS, name)


class StorageClass(Record, frozen=True):
    provisioner: str = ""
    parameters: dict[str, str] | None = None


def _class_row(each: StorageClass, _around: Around) -> Row:
    return {"provisioner": each.provisioner, "parameters": each.parameters or {}}


STORAGE_CLASSES = Kind(
    Resource("storageclasses", "StorageClass", StorageClass, group="storage.k8s.io", namespaced=False),
    type_name="storageclass",
    row=_class_row,
)


def storage_class_detail(found: Json) -> Row:
    return detail_of(STORAGE_CLASSES, found)
