"""What all rows and lists share on the wire: objectMeta, typeMeta, errors (contract, sections 3, 8 and 15). Pure."""

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


def forbidden(resource: str, group: str, user: str, namespace: str = "") -> Row:
    """An item of `errors`: what the API server would have answered to who may not list."""
    who = f'User "{user}"' if user else "You"
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    of = f"{resource}.{group}" if group else resource
    message = f'{of} is forbidden: {who} cannot list resource "{resource}" in API group "{group}" {scope}'
    return {
        "ErrStatus": {
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "Forbidden",
            "details": {"group": group, "kind": resource} if group else {"kind": resource},
            "code": 403,
        }
    }
