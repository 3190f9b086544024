"""Labels and annotations by which a workload opts in, and which a patched pod gets (contract snap-api, section 5).

Ours are in the domain of decision 10; the contract's own domain is read as an alias, and never written.
"""

from collections.abc import Mapping
from typing import Any

from ksnap.model.checkpoint_key import DOMAIN

ALIAS = "snap.weaversoft.io"
SNAP = f"{DOMAIN}/snap"
MUTATED = f"{DOMAIN}/mutated"
CONTAINERS = f"{DOMAIN}/containers"
"""On a pod: a comma list of the containers to freeze and restore; else the first one."""
ORIGINAL_IMAGE = f"original-image.{DOMAIN}/"
"""Before a container's name: the image that its author wrote."""
SOURCE_CHECKPOINT = f"checkpoint.{DOMAIN}/"
"""Before a container's name: the id of the checkpoint that it starts from."""
REASON = f"cold.{DOMAIN}/"
"""Before a container's name: why it starts cold though others of its pod do not."""


def wants_snap(metadata: Mapping[str, Any]) -> bool:
    """Whether a pod has opted in. The value counts: `false` is no."""
    labels = metadata.get("labels") or {}
    return "true" in {labels.get(SNAP), labels.get(f"{ALIAS}/snap")}


def is_mutated(metadata: Mapping[str, Any]) -> bool:
    """Whether a hook has patched the pod: it starts from a checkpoint, and is none to be frozen."""
    labels = metadata.get("labels") or {}
    return MUTATED in labels or f"{ALIAS}/mutated" in labels


def wanted_containers(pod: Mapping[str, Any]) -> list[str]:
    """The containers that are to be frozen and restored, in the order of the pod; those it does not have are none."""
    names = [str(each.get("name", "")) for each in (pod.get("spec") or {}).get("containers") or []]
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    asked = annotations.get(CONTAINERS, annotations.get(f"{ALIAS}/containers", ""))
    wanted = {each.strip() for each in str(asked).split(",") if each.strip()}
    return [each for each in names if each in wanted] if wanted else names[:1]
