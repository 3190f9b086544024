"""Views of objects as the API server writes them, for rows and counts."""

from typing import Any

from ksnap.dashboard.kinds.common import Json, as_record
from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.resource import Resource


def view(resource: Resource[Any], *objects: Json, namespaces: frozenset[str] | None = None) -> View[Any]:
    found: View[Any] = View(None, namespaces)
    for each in objects:
        found.objects.put(as_record(resource, each))
    return found


def around(*views: tuple[Resource[Any], View[Any]]) -> Around:
    """Without pods and events, unless there are some."""
    empty = {each.resource: view(each.resource) for each in (PODS, EVENTS)}
    return Around("c", {**empty, **dict(views)})


def meta(name: str, owner: str = "", *, namespace: str = "n", controller: bool = True) -> Json:
    """The uid is the name with a u in front."""
    found: Json = {"name": name, "namespace": namespace, "uid": f"u-{name}", "resourceVersion": "1"}
    if owner:
        found["ownerReferences"] = [{"kind": "K", "name": owner, "uid": f"u-{owner}", "controller": controller}]
    return found


def pod(name: str, owner: str, phase: str = "Running", *, ready: bool = True, **more: Any) -> Json:
    conditions = [{"type": kind, "status": str(ready)} for kind in ("Ready", "Initialized")]
    return {"metadata": meta(name, owner, **more), "status": {"phase": phase, "conditions": conditions}}


def warning(pod_name: str, reason: str = "Failed", at: str = "2026-01-01T00:00:00Z") -> Json:
    return {
        "metadata": meta(f"{pod_name}.{reason}.{at}"),
        "involvedObject": {"kind": "Pod", "namespace": "n", "name": pod_name, "uid": f"u-{pod_name}"},
        "type": "Warning",
        "reason": reason,
        "message": f"{reason} at {at}",
        "lastTimestamp": at,
    }
