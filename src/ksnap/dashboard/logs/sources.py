"""Which pods and containers the logs of a workload come from (contract, section 11.4).

Pods are found by the workload's own selector and by who controls them. A kind that is not in the table is looked up
in the cluster, and its pods by walking up their owners.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.logs.owners import Climb, controlled, list_selected, uid_of
from ksnap.dashboard.logs.pages import container_names
from ksnap.errors import InvalidInput
from ksnap.kube.connection import ClusterConnection, Json
from ksnap.kube.discovery import ApiResource, api_resources, find_resource
from ksnap.kube.pods import get_pod, pods_path
from ksnap.kube.selectors import label_selector

_WORKLOADS = {
    kind: ApiResource(group, "v1", f"{kind}s", kind, namespaced=True)
    for group, kinds in {
        "apps": ("deployment", "replicaset", "daemonset", "statefulset"),
        "batch": ("job", "cronjob"),
        "": ("replicationcontroller",),
    }.items()
    for kind in kinds
}
# Set on the pods of a job by its controller since Kubernetes 1.27.
JOB_UID = "batch.kubernetes.io/controller-uid"
# A selector is a part of a URL: so many uids have some four thousand characters.
JOBS_AT_ONCE = 100


class LogSources(msgspec.Struct, frozen=True, rename="camel"):
    """The reply."""

    container_names: list[str]
    init_container_names: list[str]
    pod_names: list[str]


async def log_sources(at: ClusterAsCaller, namespace: str, name: str, kind: str) -> LogSources:
    """Of a pod, or of what makes pods. KubeRefusal as the API server says it, InvalidInput for no kind."""
    kind = kind.lower()
    what = f"{kind} {namespace}/{name}"
    if kind == "pod":
        pod = await get_pod(at.api, namespace, name)
        return _sources(pod.get("spec"), [pod])
    if kind not in _WORKLOADS:
        return await _of_custom(at.api, namespace, name, kind)
    owner = await at.api.get(_WORKLOADS[kind].path(namespace, name), what=what)
    spec = owner.get("spec") or {}
    match kind:
        case "cronjob":
            template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
            pods = await _pods_of_cronjob(at.api, namespace, owner)
        case "deployment":
            template = spec.get("template") or {}
            pods = await _pods_of_deployment(at.api, namespace, owner)
        case "job":
            template = spec.get("template") or {}
            pods = await list_selected(at.api, pods_path(namespace), label_selector(spec.get("selector")))
        case _:
            template = spec.get("template") or {}
            found = await list_selected(at.api, pods_path(namespace), label_selector(spec.get("selector")))
            pods = controlled(found, {uid_of(owner)})
    return _sources(template.get("spec"), pods)


def _sources(spec: Mapping[str, Any] | None, pods: Iterable[Json]) -> LogSources:
    return LogSources(
        container_names(spec, "containers"),
        container_names(spec, "initContainers"),
        [str(each["metadata"]["name"]) for each in pods],
    )


async def _pods_of_deployment(api: ClusterConnection, namespace: str, deployment: Json) -> list[Json]:
    selector = label_selector(deployment["spec"].get("selector"))
    sets = await list_selected(api, _WORKLOADS["replicaset"].path(namespace), selector)
    owners = {uid_of(each) for each in controlled(sets, {uid_of(deployment)})}
    return controlled(await list_selected(api, pods_path(namespace), selector), owners) if owners else []


async def _pods_of_cronjob(api: ClusterConnection, namespace: str, cronjob: Json) -> list[Json]:
    jobs = await list_selected(api, _WORKLOADS["job"].path(namespace))
    owners = [uid_of(each) for each in controlled(jobs, {uid_of(cronjob)})]
    pods: list[Json] = []
    for begin in range(0, len(owners), JOBS_AT_ONCE):
        some = owners[begin : begin + JOBS_AT_ONCE]
        found = await list_selected(api, pods_path(namespace), f"{JOB_UID} in ({','.join(some)})")
        pods += controlled(found, set(some))
    return pods


# Owners of kinds that are not in the table


async def _of_custom(api: ClusterConnection, namespace: str, name: str, kind: str) -> LogSources:
    resources = await api_resources(api)
    resource = find_resource(resources, kind)
    if resource is None or not resource.namespaced:
        raise InvalidInput(
            "The resource type is not known",
            details=f"{kind[:80]!r} in cluster {api.name}",
            hint=f"Allowed are pod, {', '.join(_WORKLOADS)}, and the kind of any owner of pods",
        )
    owner = await api.get(resource.path(namespace, name), what=f"{kind} {namespace}/{name}")
    candidates = await list_selected(api, pods_path(namespace), _selector_of_custom(owner))
    climb = Climb(api, namespace, resources, uid_of(owner))
    pods = [each for each in candidates if await climb.reaches(each)]
    template = ((owner.get("spec") or {}).get("template") or {}).get("spec")
    if isinstance(template, dict) and template.get("containers"):
        return _sources(template, pods)
    return _of_pods(pods)


def _selector_of_custom(owner: Json) -> str:
    """Where an owner has a selector as the scale subresource knows it, or as workloads have it; else all pods."""
    spec, status = owner.get("spec") or {}, owner.get("status") or {}
    for text in (status.get("selector"), status.get("labelSelector")):
        if isinstance(text, str) and text:
            return text
    selector = spec.get("selector")
    if isinstance(selector, dict) and {"matchLabels", "matchExpressions"} & set(selector):
        return label_selector(selector)
    return ""


def _of_pods(pods: list[Json]) -> LogSources:
    """Without a template: what its pods have, each name once."""
    by_kind: dict[str, dict[str, None]] = {"containers": {}, "initContainers": {}}
    for kind, names in by_kind.items():
        names.update(dict.fromkeys(name for pod in pods for name in container_names(pod.get("spec"), kind)))
    names_of_pods = [str(each["metadata"]["name"]) for each in pods]
    return LogSources(list(by_kind["containers"]), list(by_kind["initContainers"]), names_of_pods)
