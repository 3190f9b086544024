"""What counts as the same workload (decision 5): one function for hook, watcher, job and image.

The key's parts travel in the image's annotations, so that an image is refused where any of them differs; names built
by joining parts may collide, keys may not (contract, section 6).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ksnap.errors import Conflict, InvalidInput, NotFound

DOMAIN = "ksnap.dev"
RUNTIME_CLASS = "ksnap"
"""The RuntimeClass of pods that ksnap-runc starts."""
RESTORE_LABEL = f"{DOMAIN}/restore"
"""A node's label: what its agent found it able to, `runtime` or `none`. The RuntimeClass selects by it."""
APP_LABELS = ("app.kubernetes.io/name", "app", "k8s-app", "app.kubernetes.io/instance")
TEMPLATE_HASH_LABELS = ("pod-template-hash", "controller-revision-hash")
_GENERATED_SUFFIX = re.compile(r"-[A-Za-z0-9]{8,10}(-[A-Za-z0-9]{5})?$")
# Made once: admissions come by the thousand.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_DIGEST_IN_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Workload:
    """Whose memory a checkpoint of a container is: the parts of its key that decide who may be started from it."""

    cluster: str
    namespace: str
    owner: str
    container: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.owner}/{self.container}"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """Two containers with equal keys may start from each other's checkpoint."""

    cluster: str
    namespace: str
    owner: str
    """`Kind/name` of what made the pod, with a ReplicaSet's hash taken off; `Pod/name` for a bare pod."""
    app: str
    container: str
    image: str
    """The image as the pod's author wrote it."""
    image_digest: str
    """Digest of what ran: from the status' imageID."""
    template_hash: str
    environment_hash: str
    """Over what CRIU needs equal: mount destinations, user, security context, architecture."""

    @property
    def workload(self) -> Workload:
        return Workload(self.cluster, self.namespace, self.owner, self.container)

    @property
    def slot(self) -> "Slot":
        return Slot(self.workload, self.image, self.template_hash, self.environment_hash)

    def digest(self) -> str:
        """The key as 64 hex digits; stable over processes and versions of this code."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def annotations(self) -> dict[str, str]:
        """The key as image annotations in our domain."""
        return {
            f"{DOMAIN}/cluster": self.cluster,
            f"{DOMAIN}/namespace": self.namespace,
            f"{DOMAIN}/owner": self.owner,
            f"{DOMAIN}/app": self.app,
            f"{DOMAIN}/container": self.container,
            f"{DOMAIN}/original-image": self.image,
            f"{DOMAIN}/original-digest": self.image_digest,
            f"{DOMAIN}/pod-template-hash": self.template_hash,
            f"{DOMAIN}/environment-hash": self.environment_hash,
            f"{DOMAIN}/key": self.digest(),
        }


@dataclass(frozen=True, slots=True)
class Slot:
    """What of a key is known before a pod has run: all but the digest of what its image comes to."""

    workload: Workload
    image: str
    template_hash: str
    environment_hash: str


def slot_of(cluster: str, pod: Mapping[str, Any], container: str, *, architecture: str) -> Slot:
    """The slot of a container of a pod that is about to be made; NotFound if the pod has no such container."""
    metadata, spec = pod["metadata"], pod["spec"]
    definition = _definition(pod, container)
    return Slot(
        Workload(cluster, metadata["namespace"], owner_of(metadata), container),
        definition["image"],
        template_hash_of(pod),
        _environment_hash(spec, definition, architecture),
    )


def checkpoint_key(cluster: str, pod: Mapping[str, Any], container: str, *, architecture: str) -> CheckpointKey:
    """The key of one running container; `pod` is the object as the API server answers it.

    NotFound if the pod has no such container, Conflict if its status names no image digest yet.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    definition = _definition(pod, container)
    status = _named(pod.get("status", {}).get("containerStatuses", []), container) or {}
    found = _DIGEST_IN_IMAGE_ID.search(status.get("imageID", ""))
    if found is None:
        raise Conflict(
            "The container's image has no digest yet",
            details=f"container {container} of pod {metadata['name']} reports imageID {status.get('imageID', '')!r}",
            hint="Wait until the container runs",
        )
    return CheckpointKey(
        cluster=cluster,
        namespace=metadata["namespace"],
        owner=owner_of(metadata),
        app=app_of(metadata),
        container=container,
        image=definition["image"],
        image_digest=found.group(),
        template_hash=template_hash_of(pod),
        environment_hash=_environment_hash(spec, definition, architecture),
    )


def _definition(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    definition = _named(pod["spec"].get("containers", []), container)
    if definition is None:
        name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        raise NotFound("Container not found", details=f"pod {name} has no container {container!r}")
    return definition


def key_of_annotations(annotations: Mapping[str, str]) -> CheckpointKey:
    """The key again, out of annotations; InvalidInput if a part is missing or the hash is another key's."""
    try:
        key = CheckpointKey(
            cluster=annotations[f"{DOMAIN}/cluster"],
            namespace=annotations[f"{DOMAIN}/namespace"],
            owner=annotations[f"{DOMAIN}/owner"],
            app=annotations[f"{DOMAIN}/app"],
            container=annotations[f"{DOMAIN}/container"],
            image=annotations[f"{DOMAIN}/original-image"],
            image_digest=annotations[f"{DOMAIN}/original-digest"],
            template_hash=annotations[f"{DOMAIN}/pod-template-hash"],
            environment_hash=annotations[f"{DOMAIN}/environment-hash"],
        )
        told = annotations[f"{DOMAIN}/key"]
    except KeyError as error:
        raise InvalidInput("Not a checkpoint key", details=f"{error.args[0]} is missing") from None
    if told != key.digest():
        raise InvalidInput("Not a checkpoint key", details=f"{DOMAIN}/key does not fit the other parts")
    return key


def owner_of(metadata: Mapping[str, Any]) -> str:
    """`Kind/name` of the controller; a ReplicaSet of a Deployment counts as the Deployment."""
    for reference in metadata.get("ownerReferences", []):
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            template = metadata.get("labels", {}).get("pod-template-hash", "")
            if kind == "ReplicaSet" and template and name.endswith("-" + template):
                return f"Deployment/{name.removesuffix('-' + template)}"
            return f"{kind}/{name}"
    return f"Pod/{metadata['name']}"


def app_of(metadata: Mapping[str, Any]) -> str:
    """The application's name for image names (contract, section 6): a label, else the pod's name without its suffix."""
    labels = metadata.get("labels") or {}
    for label in APP_LABELS:
        if labels.get(label):
            return str(labels[label])
    name = str(metadata.get("name") or str(metadata.get("generateName", "")).removesuffix("-"))
    return _GENERATED_SUFFIX.sub("", name) or name


def template_hash_of(pod: Mapping[str, Any]) -> str:
    """The controller's hash of the pod template, else one of the spec without what scheduling added."""
    labels = pod["metadata"].get("labels") or {}
    for label in TEMPLATE_HASH_LABELS:
        if labels.get(label):
            return str(labels[label])
    return _hash(_authored(pod["spec"]))[:10]


def _authored(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A bare pod's spec less the fields that differ between two creations of the same manifest.

    So does what makes a pod a restored one: the runtime class, and the node selector that its admission adds.
    """
    injected = {v["name"] for v in spec.get("volumes", []) if v["name"].startswith("kube-api-access-")}
    of_the_cluster = {"nodeName", "tolerations", "volumes", "runtimeClassName", "nodeSelector"}
    kept = {name: value for name, value in spec.items() if name not in of_the_cluster}
    if (runtime_class := spec.get("runtimeClassName")) not in {None, RUNTIME_CLASS}:
        kept["runtimeClassName"] = runtime_class
    if selector := {key: value for key, value in (spec.get("nodeSelector") or {}).items() if key != RESTORE_LABEL}:
        kept["nodeSelector"] = selector
    kept["volumes"] = [v for v in spec.get("volumes", []) if v["name"] not in injected]
    kept["containers"] = [
        {**c, "volumeMounts": [m for m in c.get("volumeMounts", []) if m["name"] not in injected]}
        for c in spec.get("containers", [])
    ]
    return kept


def _environment_hash(spec: Mapping[str, Any], container: Mapping[str, Any], architecture: str) -> str:
    return _hash(
        {
            "mounts": sorted(mount["mountPath"] for mount in container.get("volumeMounts", [])),
            "pod_security": spec.get("securityContext") or {},
            "security": container.get("securityContext") or {},
            "share_processes": bool(spec.get("shareProcessNamespace")),
            "host": [bool(spec.get(each)) for each in ("hostNetwork", "hostPID", "hostIPC")],
            "tty": bool(container.get("tty")),
            "architecture": architecture,
        }
    )[:16]


def _hash(value: object) -> str:
    return hashlib.sha256(_canonical.encode(value).encode()).hexdigest()


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((each for each in entries if each.get("name") == name), None)
