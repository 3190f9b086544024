"""Thirty objects of each kind that runs pods. Next to none of them has a pod: replicas 0, suspended, on no node."""

import json
import time
from collections.abc import Callable
from typing import Any

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl

Json = dict[str, Any]
MANY = 30
WAIT_S = 60
MARK = "example.dev/workload"
NEVER = "0 0 31 2 *"
KINDS = {
    "deployment": "apps/v1",
    "replicaset": "apps/v1",
    "replicationcontroller": "v1",
    "daemonset": "apps/v1",
    "statefulset": "apps/v1",
    "job": "batch/v1",
    "cronjob": "batch/v1",
    "horizontalpodautoscaler": "autoscaling/v1",
    "poddisruptionbudget": "policy/v1",
}
"""By the name in paths."""
_CASED = {
    "replicaset": "ReplicaSet",
    "replicationcontroller": "ReplicationController",
    "daemonset": "DaemonSet",
    "statefulset": "StatefulSet",
    "cronjob": "CronJob",
    "horizontalpodautoscaler": "HorizontalPodAutoscaler",
    "poddisruptionbudget": "PodDisruptionBudget",
}


def make(kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> None:
    """Make them, and wait until their controllers have seen them."""
    made = [manifest(cluster, kind, number) for kind in KINDS for number in range(MANY)]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    kubectl("-n", namespace, "create", "--filename=-", stdin=listed, timeout_s=60)
    _wait_until(lambda: _are_seen(kubectl, namespace), "controllers do not see what was made")
    ended = {"job/job-00": "Complete", "job/job-01": "Failed", "deployment/deployment-00": "Available"}
    for name, condition in ended.items():
        kubectl("-n", namespace, "wait", f"--for=condition={condition}", name, "--timeout=60s", timeout_s=70)
    _wait_until(lambda: _is_warned_about(kubectl, namespace, "deployment-01-"), "no warning about a pod")


def _wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, otherwise
        time.sleep(0.5)


def _are_seen(kubectl: Kubectl, namespace: str) -> bool:
    """`kubectl wait` asks for one after the other, which takes a quarter of a minute."""
    kinds = "deployment,replicaset,daemonset,poddisruptionbudget"
    found = json.loads(kubectl("-n", namespace, "get", kinds, "--output=json"))["items"]
    return all(each["status"].get("observedGeneration") == each["metadata"]["generation"] for each in found)


def _is_warned_about(kubectl: Kubectl, namespace: str, pod: str) -> bool:
    """Whether the kubelet has told that it cannot pull the image."""
    about = "type=Warning,involvedObject.kind=Pod"
    told = json.loads(kubectl("-n", namespace, "get", "events", "--field-selector", about, "--output=json"))["items"]
    return any(each["involvedObject"]["name"].startswith(pod) for each in told)


def manifest(cluster: ClusterInfo, kind: str, number: int) -> Json:
    """Number 0 has pods that run or end well, number 1 such as do not; the others differ in what they say."""
    name = f"{kind}-{number:02}"
    metadata: Json = {"name": name, "labels": {MARK: kind, "number": str(number)}}
    if number % 2:
        metadata["annotations"] = {"example.dev/number": str(number)}
    spec: Json = globals()[f"_{kind}"](cluster, name, number)
    return {"apiVersion": KINDS[kind], "kind": _CASED.get(kind, kind.title()), "metadata": metadata, "spec": spec}


def template(cluster: ClusterInfo, name: str, number: int, **more: Any) -> Json:
    image = "nowhere.invalid/x" if number == 1 else cluster.images["pause"]
    container = {"name": "main", "image": image}
    spec: Json = {"terminationGracePeriodSeconds": 0, "containers": [container], **more}
    if number > 1:
        spec["containers"] = [container, {"name": "side", "image": f"side:{number}"}]
        spec["initContainers"] = [{"name": "init", "image": f"init:{number}"}]
    return {"metadata": {"labels": {"app": name, "tier": "test"}}, "spec": spec}


def _deployment(cluster: ClusterInfo, name: str, number: int) -> Json:
    spec: Json = {
        "replicas": 2 - number if number < 2 else 0,
        "selector": {"matchLabels": {"app": name}},
        "template": template(cluster, name, number),
        "minReadySeconds": number % 3,
        "revisionHistoryLimit": number,
    }
    if number % 4 == 2:
        spec["strategy"] = {"type": "Recreate"}
    if number % 4 == 3:
        spec["strategy"] = {"rollingUpdate": {"maxSurge": number, "maxUnavailable": "10%"}}
    return spec


def _replicaset(cluster: ClusterInfo, name: str, number: int) -> Json:
    selector = {"matchLabels": {"app": name}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
    return {"replicas": int(number == 0), "selector": selector, "template": template(cluster, name, number)}


def _replicationcontroller(cluster: ClusterInfo, name: str, number: int) -> Json:
    return {"replicas": 0, "selector": {"app": name}, "template": template(cluster, name, number)}


def _daemonset(cluster: ClusterInfo, name: str, number: int) -> Json:
    nowhere = {"nodeSelector": {"example.dev/none": "none"}}
    return {"selector": {"matchLabels": {"app": name}}, "template": template(cluster, name, number, **nowhere)}


def _statefulset(cluster: ClusterInfo, name: str, number: int) -> Json:
    return {
        "replicas": 0,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": template(cluster, name, number),
    }


def _job(cluster: ClusterInfo, name: str, number: int) -> Json:
    pod = template(cluster, name, number, restartPolicy="Never")
    if number < 2:
        pod["spec"]["containers"] = [
            {"name": "main", "image": cluster.images["webapp"], "command": ["true" if number == 0 else "false"]}
        ]
    spec: Json = {"template": pod, "suspend": number > 1, "backoffLimit": 0}
    if number > 1:
        spec |= {"parallelism": number % 3, "completions": number}
    return spec


def _cronjob(cluster: ClusterInfo, name: str, number: int) -> Json:
    spec: Json = {
        "schedule": NEVER,
        "suspend": number % 2 == 1,
        "concurrencyPolicy": ("Allow", "Forbid", "Replace")[number % 3],
        "jobTemplate": {"spec": _job(cluster, name, number + 2)},
    }
    if number % 5:
        spec["startingDeadlineSeconds"] = number
    return spec


def _horizontalpodautoscaler(_cluster: ClusterInfo, _name: str, number: int) -> Json:
    """Twelve scale one ReplicaSet, the others a Deployment each."""
    kind, name = ("ReplicaSet", "replicaset-05") if number < 12 else ("Deployment", f"deployment-{number:02}")
    spec: Json = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "maxReplicas": number + 2}
    if number % 2:
        spec |= {"minReplicas": 2, "targetCPUUtilizationPercentage": 50 + number}
    return spec


def _poddisruptionbudget(_cluster: ClusterInfo, _name: str, number: int) -> Json:
    limits: tuple[Json, ...] = ({"minAvailable": number}, {"maxUnavailable": "20%"}, {"minAvailable": "50%"})
    policy = {"unhealthyPodEvictionPolicy": "AlwaysAllow"} if number % 2 else {}
    return {**limits[number % 3], **policy, "selector": {"matchLabels": {"app": f"deployment-{number:02}"}}}
