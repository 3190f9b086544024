"""Thirty pods of all sorts: their details carry what `kubectl get -o json` says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account
from tests.cluster.dashboard.workload_answers import object_meta
from tests.cluster.namespaces import own_namespace

# The first test of a module waits for what all of them look at.
pytestmark = pytest.mark.timeout(180)

Json = dict[str, Any]
MANY = 30
RUNNING = ("pod-00", "pod-10")
STATES = {"waiting": "Waiting", "running": "Running", "terminated": "Terminated"}


def _pod(cluster: ClusterInfo, number: int) -> Json:
    """Two run; the others wait for a scheduler that there is not, so that nothing about them changes."""
    image = cluster.images["pause"]
    main: Json = {"name": "main", "image": image, "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    if number % 2:
        main |= {"command": ["run", str(number)], "args": ["a", "b"]}
        main["resources"] = {"requests": {"cpu": f"{number}m"}, "limits": {"cpu": "1", "memory": "16Mi"}}
    if number % 3 == 1:
        probe = {"tcpSocket": {"port": number}}
        main |= {"livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe}
        main["securityContext"] = {"readOnlyRootFilesystem": True}
        main["volumeMounts"].append({"name": "late", "mountPath": "/late", "subPath": "x", "readOnly": True})
    spec: Json = {"terminationGracePeriodSeconds": 0, "containers": [main]}
    if number % 10:
        spec["schedulerName"] = "nobody"
        spec["containers"] = [main, {"name": "side", "image": f"side:{number}"}]
        spec["initContainers"] = [{"name": "init", "image": f"init:{number}"}][: number % 2]
        spec["imagePullSecrets"] = [{"name": "none"}][: number % 3]
        spec["securityContext"] = {"runAsUser": number} if number % 4 else {}
    spec["volumes"] = [{"name": "scratch", "emptyDir": {}}, {"name": "late", "configMap": {"name": "late"}}]
    if number % 10 == 0:
        spec["volumes"].pop()
        main["volumeMounts"] = main["volumeMounts"][:1]
        for probe_name in ("livenessProbe", "readinessProbe", "startupProbe"):
            main.pop(probe_name, None)
    labels = {"app": "details", "number": str(number)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number:02}", "labels": labels}, "spec": spec}


@pytest.fixture(scope="module")
def pods(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with thirty pods."""
    with own_namespace(kubectl) as namespace:
        made = [_pod(cluster, number) for number in range(MANY)]
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
        kubectl("-n", namespace, "create", "--filename=-", stdin=listed)
        kubectl.wait_ready(namespace, *RUNNING)
        yield namespace


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, pods: str) -> Iterator[str]:
    with account(kubectl, pods, cluster_rules=[READ_ALL]) as token:
        yield token


async def test_details(dashboard: Dashboard, kubectl: Kubectl, pods: str, token: str) -> None:
    reader = dashboard.as_token(token)
    objects = json.loads(kubectl("-n", pods, "get", "pods", "--output=json"))["items"]
    assert len(objects) == MANY
    for each in objects:
        found = await reader.ok(f"/pod/{pods}/{each['metadata']['name']}")
        events = found.pop("eventList")
        assert all(event["objectName"] == each["metadata"]["name"] for event in events["events"])
        assert found.pop("persistentVolumeClaimList")["items"] == []
        assert found == _detail(each)


def _detail(pod: Json) -> Json:
    spec, status = pod["spec"], pod["status"]
    secrets = spec.get("imagePullSecrets")
    return {
        "objectMeta": object_meta(pod),
        "typeMeta": {"kind": "pod"},
        "podPhase": status["phase"],
        "podIP": status.get("podIP", ""),
        "nodeName": spec.get("nodeName", ""),
        "serviceAccountName": spec["serviceAccountName"],
        "restartCount": sum(each["restartCount"] for each in status.get("containerStatuses", [])),
        "qosClass": status["qosClass"],
        "containers": [_container(each, pod, "containerStatuses") for each in spec["containers"]],
        "initContainers": [_container(each, pod, "initContainerStatuses") for each in spec.get("initContainers", [])],
        "conditions": [_condition(each) for each in status.get("conditions", [])],
        **({"imagePullSecrets": secrets} if secrets else {}),
        "securityContext": spec["securityContext"],
        "ownerChain": [],
        "metrics": [],
        "errors": [],
    }


def _container(container: Json, pod: Json, statuses: str) -> Json:
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    by_name = {each["name"]: each for each in pod["status"].get(statuses, [])}
    status = by_name.get(container["name"])
    mounts = [
        {
            "name": each["name"],
            "readOnly": each.get("readOnly", False),
            "mountPath": each["mountPath"],
            "subPath": each.get("subPath", ""),
            "volume": volumes[each["name"]],
        }
        for each in container["volumeMounts"]
    ]
    same = ("securityContext", "livenessProbe", "readinessProbe", "startupProbe")
    return {
        "name": container["name"],
        "image": container["image"],
        "env": [],
        "commands": container.get("command", []),
        "args": container.get("args", []),
        "volumeMounts": mounts,
        **{name: container.get(name) for name in same},
        "status": status,
        "state": STATES[next(iter(status["state"]))] if status else "Unknown",
        "resources": container["resources"],
    }


def _condition(found: Json) -> Json:
    names = ("type", "status", "lastProbeTime", "lastTransitionTime")
    return {**{name: found[name] for name in names}, **{name: found.get(name, "") for name in ("reason", "message")}}
