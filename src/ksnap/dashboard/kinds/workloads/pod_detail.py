"""A pod's detail without what is read beside it (contract, section 15). Pure."""

from collections.abc import Callable, Collection, Iterable

import msgspec

from ksnap.dashboard.kinds.common import Json, as_record, conditions, section, set_only
from ksnap.dashboard.kinds.pod_status import container_state
from ksnap.dashboard.kinds.pod_wire import State
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.kinds.storage.claims import Claim
from ksnap.dashboard.kinds.workloads.environment import Sources, environment
from ksnap.dashboard.selection.shapes import Row, object_meta, type_meta
from ksnap.dashboard.selection.views import Around, View


def pod_detail(pod: Json, sources: Sources) -> Row:
    """PodDetail up to its containers and conditions; the rest is of other objects."""
    record = as_record(PODS.resource, pod)
    spec, status = section(pod, "spec"), section(pod, "status")
    return {
        "objectMeta": object_meta(record.metadata),
        "typeMeta": type_meta(PODS.type_name),
        "podPhase": record.text,
        "podIP": status.get("podIP", ""),
        "nodeName": record.node_name,
        "serviceAccountName": spec.get("serviceAccountName", ""),
        "restartCount": record.restarts,
        "qosClass": status.get("qosClass", ""),
        "containers": containers(pod, "containers", sources),
        "initContainers": containers(pod, "initContainers", sources),
        "conditions": conditions(status.get("conditions")),
        **set_only(imagePullSecrets=spec.get("imagePullSecrets")),
        "securityContext": spec.get("securityContext"),
    }


_STATUSES = {"containers": "containerStatuses", "initContainers": "initContainerStatuses"}


def containers(pod: Json, kind: str, sources: Sources) -> list[Row]:
    """The contract's `Container` for each of the pod's `containers` or `initContainers`."""
    volumes = {each.get("name", ""): each for each in section(pod, "spec").get("volumes") or ()}
    statuses = {each.get("name", ""): each for each in section(pod, "status").get(_STATUSES[kind]) or ()}
    return [
        _container(each, statuses.get(each.get("name", "")), volumes) | {"env": environment(each, pod, sources)}
        for each in section(pod, "spec").get(kind) or ()
    ]


def _container(container: Json, status: Json | None, volumes: Json) -> Row:
    return {
        "name": container.get("name", ""),
        "image": container.get("image", ""),
        "env": [],
        "commands": container.get("command") or [],
        "args": container.get("args") or [],
        "volumeMounts": [_mount(each, volumes) for each in container.get("volumeMounts") or ()],
        "securityContext": container.get("securityContext"),
        "status": status,
        "state": container_state(msgspec.convert(section(status or {}, "state"), State)),
        "livenessProbe": container.get("livenessProbe"),
        "readinessProbe": container.get("readinessProbe"),
        "startupProbe": container.get("startupProbe"),
        "resources": container.get("resources") or {},
    }


def _mount(mount: Json, volumes: Json) -> Row:
    name = mount.get("name", "")
    return {
        "name": name,
        "readOnly": mount.get("readOnly", False),
        "mountPath": mount.get("mountPath", ""),
        "subPath": mount.get("subPath", ""),
        "volume": volumes.get(name, {"name": name}),
    }


def container_names(pod: Json) -> list[str]:
    """Without init containers (contract, section 14)."""
    return [each.get("name", "") for each in section(pod, "spec").get("containers") or ()]


def claim_names(pod: Json) -> frozenset[str]:
    """The claims that the pod mounts, those that its generic ephemeral volumes made included (KEP-1698)."""
    return frozenset(_claims(pod))


def _claims(pod: Json) -> Iterable[str]:
    for volume in section(pod, "spec").get("volumes") or ():
        claim = section(volume, "persistentVolumeClaim").get("claimName")
        if claim:
            yield claim
        if "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume['name']}"


def claims_of(pod: Json) -> Callable[[View[Claim], Around], Collection[Claim]]:
    """The claims that a pod mounts, as far as they are there yet."""
    namespace, names = section(pod, "metadata").get("namespace", ""), sorted(claim_names(pod))

    def only(claims: View[Claim], _around: Around) -> Collection[Claim]:
        found = [claims.get(namespace, each) for each in names]
        return [each for each in found if each is not None]

    return only
