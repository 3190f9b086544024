"""What all rows and lists share on the wire: objectMeta and typeMeta (contract, sections 8 and 15). Pure."""

from typing import Any

from ksnap.kube.watch.records import Metadata

Row = dict[str, Any]


def object_meta(metadata: Metadata) -> Row:
    """Empty fields are left out; the time is always there."""
    found: Row = {"name": metadata.name} if metadata.name else {}
    if metadata.namespace:
        found["namespace"] = metadata.namespace
    if metadata.labels:
        found["labels"] = metadata.labels
    if metadata.annotations:
        found["annotations"] = metadata.annotations
    found["creationTimestamp"] = metadata.creation_timestamp
    if metadata.uid:
        found["uid"] = metadata.uid
    if metadata.owner_references:
        found["ownerReferences"] = [{"kind": each.kind, "name": each.name} for each in metadata.owner_references]
    return found


def type_meta(name: str, *, scalable: bool = False, restartable: bool = False) -> Row:
    found: Row = {"kind": name}
    if scalable:
        found["scalable"] = True
    if restartable:
        found["restartable"] = True
    return found
