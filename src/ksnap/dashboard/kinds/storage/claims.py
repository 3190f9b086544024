"""Claims to persistent volumes; their detail is their row."""

from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource


class ClaimSpec(Part, frozen=True):
    volume_name: str = ""
    storage_class_name: str | None = None
    access_modes: tuple[str, ...] = ()


class ClaimStatus(Part, frozen=True):
    phase: str = ""
    capacity: dict[str, str] | None = None


class Claim(Record, frozen=True):
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


def _row(claim: Claim, _around: Around) -> Row:
    return {
        "status": claim.status.phase,
        "volume": claim.spec.volume_name,
        "capacity": claim.status.capacity or {},
        "accessModes": claim.spec.access_modes,
        "storageClass": claim.spec.storage_class_name,
    }


CLAIMS = Kind(
    Resource("persistentvolumeclaims", "PersistentVolumeClaim", Claim),
    type_name="persistentvolumeclaim",
    row=_row,
    properties=(text("status", lambda claim: claim.status.phase),),
)


def claim_detail(found: Json) -> Row:
    return detail_of(CLAIMS, found)
