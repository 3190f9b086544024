"""The contract's shapes of what a write answers, made of Kubernetes' own objects (section 15)."""

from typing import Any

from ksnap.kube.connection import Json


def secret_row(secret: Json) -> dict[str, Any]:
    """Secret of the contract: no data in it."""
    return {"objectMeta": _object_meta(secret), "typeMeta": {"kind": "secret"}, "type": secret.get("type", "")}


def _object_meta(found: Json) -> dict[str, Any]:
    metadata = found["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations", "uid") if metadata.get(key)}
    return {**kept, "creationTimestamp": metadata.get("creationTimestamp")}
