"""Makes the pod that a restore creates out of the source pod as it was recorded. Pure.

What the cluster itself had written into the source (identity, scheduling, injected volumes, status) is taken off, so
that the new pod gets its own; what its author wrote is kept, for a restored process expects the mounts, users and
limits it was frozen with.

A controller adopts any pod without an owner that its selector takes in, and then removes one of its pods as too many:
perhaps the source. So the copy must fall out of that selector. A Deployment's or Rollout's pod and a Job's do so with
one label, which the controller itself had put into template and selector; the copy keeps the others, and with them its
NetworkPolicies and Services. A StatefulSet adopts only names of its own form. Of every other controller (DaemonSet,
ReplicationController, a ReplicaSet of nobody, operators' own kinds) the selector is not known here, and any label may
be all of it: there the copy gets none of the author's, and carries them in an annotation instead.
"""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.checkpoints.restore_nodes import Engine
from ksnap.model.checkpoint_key import RUNTIME_CLASS
from ksnap.model.restore_annotations import PERMIT_DOMAIN, RESTORE_DOMAIN

Json = dict[str, Any]

JOB_ANNOTATION = "ksnap.dev/job"
RESTORED_FROM = "ksnap.dev/restored-from"
CREATED_LABEL = "ksnap.dev/created-by"
SOURCE_LABELS = "ksnap.dev/source-labels"
# Annotations that the container runtime or an admission controller of the cluster writes for one very pod.
_INJECTED_ANNOTATIONS = (
    "cni.projectcalico.org/", "k8s.v1.cni.cncf.io/", "k8s.ovn.org/", "ovn.kubernetes.io/", "kubernetes.io/config.",
    "kubernetes.io/psp", "kubectl.kubernetes.io/last-applied-configuration", "ksnap.dev/", f"{RESTORE_DOMAIN}/",
    f"{PERMIT_DOMAIN}/",
)  # fmt: skip
# What an author asks of ksnap-runc for a pod. It is as much a part of the pod as its spec: without `shm` a restored
# container would differ from the frozen one in a mount.
_AUTHORS_ANNOTATIONS = frozenset({SOURCE_LABELS, "ksnap.dev/io-uring", "ksnap.dev/shm"})
# Labels by which a controller would take the new pod for one of its own, and remove one too many.
_CONTROLLER_LABELS = (
    "pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash", "pod-template-generation",
    "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name", "controller-uid", "job-name",
)  # fmt: skip
# Those of them that are part of the selector, by the kind of the source's controller.
_SELECTED_BY = {
    "ReplicaSet": ("pod-template-hash", "rollouts-pod-template-hash"),
    "Job": ("batch.kubernetes.io/controller-uid", "controller-uid"),
}
_SPEC_OF_THE_CLUSTER = ("nodeName", "ephemeralContainers", "priority", "preemptionPolicy", "overhead")
_API_ACCESS = "kube-api-access-"
_INJECTED_TOLERATIONS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class RestoredContainer:
    """One container of the new pod that goes on from a checkpoint image."""

    container: str
    checkpoint_id: str
    image: str
    """host/repository@digest"""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which nodes may take the pod."""

    nodes: Sequence[str]
    chosen_by_user: bool = False
    """The user named the node: a host name that the source was bound to gives way."""


def restored_pod(
    source: Mapping[str, Any],
    *,
    name: str,
    namespace: str,
    containers: Sequence[RestoredContainer],
    placement: Placement,
    job_id: str,
    pull_secret: str | None,
    engine: Engine,
    permits: Mapping[str, str] | None = None,
) -> Json:
    """The manifest of the pod to create: with the checkpoint images in its containers (image engine), or with its own
    and annotations that name them (runtime engine), beside signed permits by container."""
    spec = _authored_spec(source["spec"], same_namespace=source["metadata"]["namespace"] == namespace)
    labels, annotations = _labels(source["metadata"], name)
    images = {each.container: each.image for each in containers}
    if engine == "runtime":
        spec["runtimeClassName"] = RUNTIME_CLASS
        annotations |= {f"{RESTORE_DOMAIN}/{container}": image for container, image in images.items()}
        annotations |= {f"{PERMIT_DOMAIN}/{container}": permit for container, permit in (permits or {}).items()}
    else:
        for container in spec["containers"]:
            if container["name"] in images:
                _use_checkpoint(container, images[container["name"]])
    _place(spec, placement)
    if pull_secret is not None:
        spec["imagePullSecrets"] = [*spec.get("imagePullSecrets", []), {"name": pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels | {CREATED_LABEL: "restore"},
            "annotations": _annotations(source["metadata"], job_id, containers) | annotations,
        },
        "spec": spec,
    }


def host_of(source: Mapping[str, Any]) -> str | None:
    """The host name that the source's author bound it to, if any."""
    host = (source["spec"].get("nodeSelector") or {}).get(_HOSTNAME)
    return None if host is None else str(host)


def _use_checkpoint(container: Json, image: str) -> None:
    container["image"] = image
    if container.get("imagePullPolicy") == "Never":
        # Meant for an image that was put on the nodes beforehand; this one is in the registry alone.
        container["imagePullPolicy"] = "IfNotPresent"


def _labels(metadata: Mapping[str, Any], name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Labels that the copy may bear, and the annotation that keeps the author's where it may bear none."""
    given = metadata.get("labels") or {}
    authored = {label: value for label, value in given.items() if label not in _CONTROLLER_LABELS}
    if authored and _would_be_adopted(metadata, given, name):
        return {}, {SOURCE_LABELS: json.dumps(authored, separators=(",", ":"), sort_keys=True)}
    return authored, {}


def _would_be_adopted(metadata: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether the source's controller may take a pod of this name for its own by the author's labels."""
    owner = next((each for each in metadata.get("ownerReferences") or [] if each.get("controller")), None)
    if owner is None or owner["kind"] == "Node":
        return False
    if owner["kind"] == "StatefulSet":
        return re.fullmatch(rf"{re.escape(owner['name'])}-\d+", name) is not None
    return not any(label in labels for label in _SELECTED_BY.get(owner["kind"], ()))


def _annotations(metadata: Mapping[str, Any], job_id: str, containers: Sequence[RestoredContainer]) -> dict[str, str]:
    given = metadata.get("annotations") or {}
    kept = {
        name: value
        for name, value in given.items()
        if name in _AUTHORS_ANNOTATIONS or not name.startswith(_INJECTED_ANNOTATIONS)
    }
    restored_from = ",".join(f"{each.container}={each.checkpoint_id}" for each in containers)
    return kept | {JOB_ANNOTATION: job_id, RESTORED_FROM: restored_from}


def _authored_spec(source: Mapping[str, Any], *, same_namespace: bool) -> Json:
    spec: Json = copy.deepcopy({name: value for name, value in source.items() if name not in _SPEC_OF_THE_CLUSTER})
    injected = {each["name"] for each in spec.get("volumes", []) if _is_injected(each)}
    spec["volumes"] = [each for each in spec.get("volumes", []) if each["name"] not in injected]
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        container["volumeMounts"] = [each for each in container.get("volumeMounts", []) if each["name"] not in injected]
    spec["tolerations"] = [each for each in spec.get("tolerations", []) if not _is_default_toleration(each)]
    if not same_namespace:
        # Accounts and pull secrets live in a namespace; the cluster gives the new one's defaults.
        for field in ("serviceAccountName", "serviceAccount", "imagePullSecrets"):
            spec.pop(field, None)
    return {name: value for name, value in spec.items() if value not in ([], None)}


def _is_injected(volume: Mapping[str, Any]) -> bool:
    return str(volume["name"]).startswith(_API_ACCESS) and "projected" in volume


def _is_default_toleration(toleration: Mapping[str, Any]) -> bool:
    return toleration.get("key") in _INJECTED_TOLERATIONS and toleration.get("tolerationSeconds") == 300


def _place(spec: Json, placement: Placement) -> None:
    """Bind the pod to the nodes; the scheduler still minds resources and taints."""
    if placement.chosen_by_user:
        selector = {name: value for name, value in spec.get("nodeSelector", {}).items() if name != _HOSTNAME}
        spec["nodeSelector"] = selector
        if not selector:
            del spec["nodeSelector"]
    wanted = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in placement.nodes
    ]
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    authored = [] if placement.chosen_by_user else required.get("nodeSelectorTerms", [])
    # Terms are alternatives: each of the author's is tied to each of the nodes.
    required["nodeSelectorTerms"] = [
        {**term, "matchFields": [*term.get("matchFields", []), *each["matchFields"]]}
        for term in (authored or [{}])
        for each in wanted
    ]
