"""What a hook does with a new pod: a patch, or the reason why it is left alone. Pure; from memory alone.

A restore may never be worse than a cold start. So a pod is given the runtime class only where every node that it may
go to can restore by it, and an image in its own image's place only where every one of them takes such images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ksnap.errors import KsnapError
from ksnap.hooks.nodes import Node, allowed_nodes
from ksnap.hooks.review import Json, Operation, pointer, set_members
from ksnap.model.checkpoint_key import RUNTIME_CLASS, Slot, slot_of
from ksnap.model.restore_annotations import RESTORE_DOMAIN
from ksnap.model.snap_labels import (
    MUTATED,
    ORIGINAL_IMAGE,
    REASON,
    SOURCE_CHECKPOINT,
    is_mutated,
    wanted_containers,
    wants_snap,
)

Engine = Literal["runtime", "image"]
# Different wishes of pods that are remembered; each workload of a large cluster may have its own.
_PLACES = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that may be restored."""

    checkpoint_id: str
    image: str
    """host/repository@digest"""
    made_from: str
    """The image that was frozen, as its author wrote it."""


class Catalog(Protocol):
    """What is known of one cluster's workloads."""

    def find(self, slot: Slot) -> Known | str:
        """The checkpoint of a slot, or why there is none to be used."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, and why not more."""

    patch: list[Operation] = field(default_factory=list)
    restored: Mapping[str, Known] = field(default_factory=dict)
    """By container."""
    engine: Engine | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By container; `*`: the pod as a whole."""


def decide(
    cluster: str,
    namespace: str,
    pod: Json,
    catalog: Catalog,
    places: "Places",
    *,
    pull_secrets: Sequence[str] = (),
) -> Decision:
    """What to do with a pod that is about to be made."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    if not wants_snap(metadata) or is_mutated(metadata):
        return _alone("the pod has not opted in, or was patched before")
    if not metadata.get("name") and not metadata.get("ownerReferences"):
        return _alone("a pod without a name and without an owner is of no workload")
    place = places.of(spec)
    if place.engine is None:
        return _alone(place.reason)
    found, reasons = _known(cluster, namespace, pod, catalog, place.architectures)
    if not found:
        return Decision(reasons=reasons)
    annotations = _told(found, reasons)
    if place.engine == "runtime":
        annotations |= {f"{RESTORE_DOMAIN}/{container}": known.image for container, known in found.items()}
        operations = _class_patch(spec)
    else:
        operations = _image_patch(spec, found, pull_secrets)
    operations += set_members("/metadata/labels", metadata.get("labels"), {MUTATED: "true"})
    operations += set_members("/metadata/annotations", metadata.get("annotations"), annotations)
    return Decision(operations, found, place.engine, reasons)


def _alone(reason: str) -> Decision:
    return Decision(reasons={"*": reason})


@dataclass(frozen=True, slots=True)
class Place:
    """What all nodes that a pod may go to have in common."""

    engine: Engine | None
    reason: str = ""
    """Why no engine is used."""
    architectures: Sequence[str] = ()


class Places:
    """A cluster's nodes at one moment. Pods that may go to the same ones are looked up once: most say nothing of it."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._known: dict[tuple[object, ...], Place] = {}

    def of(self, spec: Mapping[str, Any]) -> Place:
        """Where a pod with this spec may go."""
        words = (spec.get("nodeName"), spec.get("nodeSelector"), (spec.get("affinity") or {}).get("nodeAffinity"))
        key = (spec.get("runtimeClassName"), *(repr(each) if each else "" for each in words))
        place = self._known.get(key)
        if place is None:
            if len(self._known) >= _PLACES:
                self._known.clear()
            place = self._known[key] = _place(spec, self._nodes)
        return place


def _place(spec: Mapping[str, Any], nodes: Sequence[Node]) -> Place:
    candidates = allowed_nodes(spec, nodes)
    if not candidates:
        return Place(None, "no node is known that the pod could go to")
    chosen = _engine(spec, candidates)
    if not isinstance(chosen, _Chosen):
        return Place(None, chosen)
    return Place(chosen.engine, architectures=sorted({each.architecture for each in candidates}))


@dataclass(frozen=True, slots=True)
class _Chosen:
    engine: Engine


def _engine(spec: Mapping[str, Any], candidates: Sequence[Node]) -> _Chosen | str:
    """The engine that every candidate has, or why none is used."""
    other_class = spec.get("runtimeClassName") or ""
    if other_class not in {"", RUNTIME_CLASS}:
        return f"the pod has a runtime class of its own, {other_class}"
    lacking = [each.name for each in candidates if not each.has_runtime]
    if not lacking:
        return _Chosen("runtime")
    if other_class:
        return _lack("have the runtime class", lacking)
    if len(lacking) == len(candidates):
        without = [each.name for each in candidates if not each.restores_images]
        return _lack("restore images", without) if without else _Chosen("image")
    return _lack("have the runtime class", lacking)


def _lack(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"not all nodes that it may go to {what}: {shown}"


def _known(
    cluster: str, namespace: str, pod: Json, catalog: Catalog, architectures: Sequence[str]
) -> tuple[dict[str, Known], dict[str, str]]:
    """The checkpoint of each container that wants one, and why others have none."""
    found: dict[str, Known] = {}
    reasons: dict[str, str] = {}
    for container in wanted_containers(pod):
        if len(architectures) != 1:
            reasons[container] = "the nodes that it may go to are of several architectures"
            continue
        try:
            slot = slot_of(cluster, {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}, container,
                           architecture=architectures[0])  # fmt: skip
        except KsnapError as error:
            reasons[container] = f"{error.message}: {error.details}"
            continue
        known = catalog.find(slot)
        if isinstance(known, Known):
            found[container] = known
        else:
            reasons[container] = known
    return found, reasons


def _class_patch(spec: Json) -> list[Operation]:
    """The runtime class; the container's image stays, for a cold start."""
    if spec.get("runtimeClassName") == RUNTIME_CLASS:
        return []
    return [{"op": "add", "path": "/spec/runtimeClassName", "value": RUNTIME_CLASS}]


def _image_patch(spec: Json, found: Mapping[str, Known], secrets: Sequence[str]) -> list[Operation]:
    """The checkpoint image in the place of the container's own, and the account to pull it with."""
    operations: list[Operation] = [
        {"op": "replace", "path": pointer("spec", "containers", index, "image"), "value": found[each["name"]].image}
        for index, each in enumerate(spec.get("containers") or [])
        if each.get("name") in found
    ]
    present = spec.get("imagePullSecrets")
    missing = [each for each in secrets if {"name": each} not in (present or [])]
    if missing and present is None:
        operations.append({"op": "add", "path": "/spec/imagePullSecrets", "value": []})
    return operations + [{"op": "add", "path": "/spec/imagePullSecrets/-", "value": {"name": each}} for each in missing]


def _told(found: Mapping[str, Known], reasons: Mapping[str, str]) -> dict[str, str]:
    """What was done and what not, for people and for whoever comes next."""
    told = {f"{ORIGINAL_IMAGE}{container}": known.made_from for container, known in found.items()}
    told |= {f"{SOURCE_CHECKPOINT}{container}": known.checkpoint_id for container, known in found.items()}
    return told | {f"{REASON}{container}": reason for container, reason in reasons.items()}
