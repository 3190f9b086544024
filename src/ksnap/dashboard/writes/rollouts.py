"""Rollouts: paused, resumed, restarted, taken back to an earlier revision. As `kubectl rollout` does it."""

from datetime import UTC, datetime
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import Kind
from ksnap.dashboard.writes.known_kinds import DEPLOYMENT, REPLICA_SET
from ksnap.errors import Conflict, InvalidInput, NotFound
from ksnap.kube.connection import Json

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
REVISION = "deployment.kubernetes.io/revision"
# What the deployment's controller puts on each ReplicaSet's pods, to tell them apart.
TEMPLATE_HASH = "pod-template-hash"
JSON_PATCH = "application/json-patch+json"


async def pause(at: ClusterAsCaller, namespace: str, name: str) -> Json:
    """Paused from now on, or already."""
    return await _patch(at, DEPLOYMENT, namespace, name, {"spec": {"paused": True}})


async def resume(at: ClusterAsCaller, namespace: str, name: str) -> Json:
    return await _patch(at, DEPLOYMENT, namespace, name, {"spec": {"paused": None}})


async def restart(at: ClusterAsCaller, kind: Kind, namespace: str, name: str) -> Json:
    """Have all pods replaced, by a new mark on their template; the workload as it is then."""
    marks = {RESTARTED_AT: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return await _patch(at, kind, namespace, name, {"spec": {"template": {"metadata": {"annotations": marks}}}})


async def roll_back(at: ClusterAsCaller, namespace: str, name: str, revision: str) -> Json:
    """The pod template of an earlier revision again, all of it: labels and annotations as well."""
    path, what = DEPLOYMENT.path(namespace, name), DEPLOYMENT.what(namespace, name)
    deployment = await at.api.get(path, what=what)
    if deployment["spec"].get("paused"):
        raise Conflict("The rollout is paused", details=what, hint="Resume it first")
    template = _template(await _replica_set(at, deployment, revision))
    # A deployment of the same name that was made meanwhile stays as it is.
    change = [
        {"op": "test", "path": "/metadata/uid", "value": deployment["metadata"]["uid"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    return await at.api.patch(path, change, what=what, content_type=JSON_PATCH)


def revision_of(deployment: Json) -> dict[str, str]:
    """The contract's reply: the revision that was current at the change."""
    return {"revision": str((deployment["metadata"].get("annotations") or {}).get(REVISION, ""))}


async def _replica_set(at: ClusterAsCaller, deployment: Json, revision: str) -> Json:
    metadata = deployment["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    query = {"labelSelector": label_selector(deployment["spec"]["selector"])}
    found = await at.api.get(REPLICA_SET.path(namespace), what=f"replica sets of {namespace}", params=query)
    mine = [each for each in found["items"] if is_controlled_by(each, metadata["uid"])]
    for each in mine:
        if (each["metadata"].get("annotations") or {}).get(REVISION) == revision:
            return dict(each)
    known = sorted((revision_of(each)["revision"] for each in mine), key=lambda text: (len(text), text))
    raise NotFound(
        "The deployment has no such revision",
        details=f"{revision[:40]} of {namespace}/{name}; it has {', '.join(known) or 'none'}",
    )


def is_controlled_by(found: Json, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or []
    return any(each.get("controller") and each["uid"] == uid for each in owners)


def label_selector(selector: Json) -> str:
    """A LabelSelector as a query's text (Kubernetes, "Labels and selectors")."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or []:
        values = ",".join(each.get("values") or [])
        match each["operator"]:
            case "In" | "NotIn":
                parts.append(f"{each['key']} {each['operator'].lower()} ({values})")
            case "Exists":
                parts.append(each["key"])
            case "DoesNotExist":
                parts.append(f"!{each['key']}")
            case other:
                raise InvalidInput("The selector is not understood", details=f"operator {other}")
    return ",".join(parts)


def _template(replica_set: Json) -> Json:
    template = dict(replica_set["spec"]["template"])
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


async def _patch(at: ClusterAsCaller, kind: Kind, namespace: str, name: str, change: dict[str, Any]) -> Json:
    return await at.api.patch(kind.path(namespace, name), change, what=kind.what(namespace, name))
