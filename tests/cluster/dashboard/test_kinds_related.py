"""What belongs to services, accounts, namespaces and nodes: pods, endpoints, ingresses, secrets, quotas and events."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account
from tests.cluster.namespaces import own_namespace

Json = dict[str, Any]
NO_CACHE = {"Cache-Control": "no-cache"}
# Others use the cluster too; between two equal looks of kubectl nothing has changed.
LOOKS = 20


@pytest.fixture(scope="module")
def shop(kubectl: Kubectl, cluster: ClusterInfo) -> Iterator[str]:
    """A namespace with two services, of which one has a pod; and pods that reserve in all the ways there are."""
    with own_namespace(kubectl) as namespace:
        manifests = [
            _pod(cluster),
            *_reserving(cluster),
            _service("web", {"app": "web"}),
            _service("nobody", {"app": "nobody"}),
        ]
        manifests += [_service("outside", None), _ingress("to-web", "web"), _ingress("to-nobody", "nobody")]
        for each in manifests:
            each["metadata"]["namespace"] = namespace
        kubectl.apply(*manifests)
        kubectl.wait_ready(namespace, "web")
        ended = "--for=jsonpath={.status.phase}=Failed"
        kubectl("-n", namespace, "wait", ended, "pod/ended", "--timeout=60s", timeout_s=70)
        yield namespace


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, shop: str) -> Iterator[str]:
    with account(kubectl, shop, cluster_rules=[READ_ALL]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


def _pod(cluster: ClusterInfo) -> Json:
    resources = {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "16Mi"}}
    container = {"name": "main", "image": cluster.images["pause"], "resources": resources}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
        "spec": spec,
    }


def _reserving(cluster: ClusterInfo) -> list[Json]:
    """One with a sidecar, one whose init container needs the most and never starts, and one that has ended."""
    pause = cluster.images["pause"]

    def container(name: str, cpu: str, memory: str, **more: Any) -> Json:
        resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}
        return {"name": name, "image": pause, "resources": resources, **more}

    main = container("main", "10m", "8Mi")
    stuck = {"image": "nowhere.invalid/x", "imagePullPolicy": "Never"}
    specs: dict[str, Json] = {
        "beside": {
            "initContainers": [container("sidecar", "7m", "4Mi", restartPolicy="Always")],
            "containers": [main],
        },
        "stuck": {"initContainers": [container("init", "33m", "32Mi", **stuck)], "containers": [main]},
        "ended": {
            "restartPolicy": "Never",
            "containers": [container("main", "50m", "64Mi", command=["/not/there"])],
        },
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 0, **spec},
        }
        for name, spec in specs.items()
    ]


def _service(name: str, selector: Json | None) -> Json:
    spec: Json = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": spec | ({"selector": selector} if selector else {}),
    }


def _ingress(name: str, service: str) -> Json:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"rules": rules},
    }


def _event(namespace: str, message: str, involved: Json) -> Json:
    name = f"{involved['kind']}.{message}".lower()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "message": message,
        "reason": "Tested",
        "type": "Normal",
    }


def _names(rows: list[Json]) -> list[str]:
    return sorted(each["objectMeta"]["name"] for each in rows)


async def _fresh(reader: Dashboard, path: str) -> Json:
    answer = await reader.call("GET", path, headers=NO_CACHE)
    assert answer.status == 200, answer
    body: Json = answer.body
    return body


async def test_a_services_pods_and_endpoints(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    pod = kubectl.get(shop, "pod", "web")
    assert _names((await _fresh(reader, f"/service/{shop}/web/pod"))["pods"]) == ["web"]
    for without in ("nobody", "outside"):
        assert (await _fresh(reader, f"/service/{shop}/{without}/pod"))["pods"] == []
        assert (await reader.ok(f"/service/{shop}/{without}"))["endpointList"]["endpoints"] == []
    [endpoint] = (await reader.ok(f"/service/{shop}/web"))["endpointList"]["endpoints"]
    assert (endpoint["host"], endpoint["nodeName"]) == (pod["status"]["podIP"], pod["spec"]["nodeName"])
    assert (endpoint["ready"], endpoint["ports"]) == (True, [{"name": "http", "port": 8080, "protocol": "TCP"}])


async def test_a_services_ingresses(reader: Dashboard, shop: str) -> None:
    assert _names((await _fresh(reader, f"/service/{shop}/web/ingress"))["items"]) == ["to-web"]
    assert (await reader.ok(f"/service/{shop}/outside/ingress"))["items"] == []


async def test_events_of_a_pod_with_the_services_name_are_none_of_it(
    reader: Dashboard, kubectl: Kubectl, shop: str
) -> None:
    for kind, name in (("Service", "web"), ("Ingress", "to-web")):
        uid = kubectl.get(shop, kind, name)["metadata"]["uid"]
        mine = {"kind": kind, "name": name, "namespace": shop}
        kubectl.apply(
            _event(shop, "now", {**mine, "uid": uid}),
            _event(shop, "earlier", {**mine, "uid": "of-one-that-is-gone"}),
            _event(shop, f"pod-{name}", {**mine, "kind": "Pod"}),
        )
        found = await _fresh(reader, f"/{kind.lower()}/{shop}/{name}/event")
        assert [each["message"] for each in found["events"]] == ["now"]
    everything = await _fresh(reader, f"/namespace/{shop}/event")
    assert {each["message"] for each in everything["events"]} >= {"now", "earlier", "pod-web", "pod-to-web"}
    assert _names(everything["events"]) == _names_of_kubectl(kubectl, shop, "events")


def _names_of_kubectl(kubectl: Kubectl, namespace: str, kind: str) -> list[str]:
    found = json.loads(kubectl("-n", namespace, "get", kind, "-o", "json"))
    return sorted(each["metadata"]["name"] for each in found["items"])


async def test_an_accounts_secrets(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    meta = {"namespace": shop}
    of_account = {"kubernetes.io/service-account.name": "builder"}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "named"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "puller"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "unrelated"}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**meta, "name": "builder"},
            "secrets": [{"name": "named"}, {"name": "not-there"}],
            "imagePullSecrets": [{"name": "puller"}],
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**meta, "name": "token", "annotations": of_account},
            "type": "kubernetes.io/service-account-token",
        },
    )
    assert _names((await _fresh(reader, f"/serviceaccount/{shop}/builder/secret"))["secrets"]) == ["named", "token"]
    assert _names((await reader.ok(f"/serviceaccount/{shop}/builder/imagepullsecret"))["secrets"]) == ["puller"]


async def test_a_namespaces_quotas_and_limits(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    limit = {"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "some", "namespace": shop},
            "spec": {"hard": {"pods": "4", "requests.cpu": "2"}, "scopes": ["NotTerminating"]},
        },
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "some", "namespace": shop},
            "spec": {"limits": [limit]},
        },
    )
    kubectl("-n", shop, "wait", "--for=jsonpath={.status.hard.pods}=4", "resourcequota/some")
    found = await reader.ok(f"/namespace/{shop}")
    status = kubectl.get(shop, "resourcequota", "some")["status"]
    [quota] = found["resourceQuotaList"]["items"]
    assert quota["scopes"] == ["NotTerminating"]
    assert quota["statusList"] == {
        name: {"used": status["used"][name], "hard": hard} for name, hard in status["hard"].items()
    }
    assert found["resourceLimits"] == [
        {"resourceName": "cpu", "resourceType": "Container", "max": "2", "default": "1", "defaultRequest": "500m"}
    ]
    listed = await reader.ok("/namespace", filterBy=f"name,{shop}")
    assert [each["phase"] for each in listed["namespaces"]] == ["Active"]


async def test_nodes_are_as_kubectl_describes_them(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    pods = json.loads(kubectl("-n", shop, "get", "pods", "-o", "json"))["items"]
    for name in {each["spec"]["nodeName"] for each in pods}:
        node = json.loads(kubectl("get", "node", name, "-o", "json"))
        row, reserved = await _undisturbed(reader, kubectl, name)
        has = row["allocatedResources"]
        for resource in ("cpu", "memory"):
            for which in ("Requests", "Limits"):
                amount, percent = reserved[resource, which]
                assert has[f"{resource}{which}"] == amount, (name, resource, which)
                assert int(has[f"{resource}{which}Fraction"]) == percent
        assert has["podCapacity"] == int(node["status"]["capacity"]["pods"])
        assert has["cpuCapacity"] == int(node["status"]["allocatable"]["cpu"]) * 1000
        assert row["nodeInfo"] == node["status"]["nodeInfo"]
        assert row["ready"] == "True"


async def _undisturbed(
    reader: Dashboard, kubectl: Kubectl, node: str
) -> tuple[Json, dict[tuple[str, str], tuple[int, int]]]:
    """A node's row, and what kubectl says of it before and after."""
    before = _described(kubectl, node)
    for _ in range(LOOKS):
        listed = await _fresh(reader, "/node")
        after = _described(kubectl, node)
        [row] = [each for each in listed["nodes"] if each["objectMeta"]["name"] == node]
        if before == after:
            return row, after
        before = after
    raise AssertionError("the cluster is never at rest")


_LINE = re.compile(r"^  (cpu|memory) +(\S+) \((\d+)%\) +(\S+) \((\d+)%\)$", re.MULTILINE)
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "": 1}


def _described(kubectl: Kubectl, node: str) -> dict[tuple[str, str], tuple[int, int]]:
    text = kubectl("describe", "node", node).partition("Allocated resources:")[2]
    found = {}
    for resource, requests, requests_percent, limits, limits_percent in _LINE.findall(text):
        number = _milli if resource == "cpu" else _bytes
        found[resource, "Requests"] = number(requests), int(requests_percent)
        found[resource, "Limits"] = number(limits), int(limits_percent)
    return found


def _milli(text: str) -> int:
    return int(text.removesuffix("m")) if text.endswith("m") else int(text) * 1000


def _bytes(text: str) -> int:
    unit = next(each for each in _UNITS if text.endswith(each))
    return int(text.removesuffix(unit)) * _UNITS[unit]


async def test_a_nodes_detail_with_its_pods_and_events(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    name = kubectl.get(shop, "pod", "web")["spec"]["nodeName"]
    node = json.loads(kubectl("get", "node", name, "-o", "json"))
    # Kubelets name their node by its name in place of its uid; an event of a pod with a node's name is none of it.
    kubectl.apply(
        _event("default", f"{shop}-kubelet", {"kind": "Node", "name": name, "uid": name}),
        _event("default", f"{shop}-controller", {"kind": "Node", "name": name, "uid": node["metadata"]["uid"]}),
        _event("default", f"{shop}-pod", {"kind": "Pod", "name": name, "namespace": "default"}),
    )
    try:
        events = (await _fresh(reader, f"/node/{name}/event"))["events"]
        detail = await reader.ok(f"/node/{name}")
    finally:
        kubectl(
            "-n", "default", "delete", "event", f"node.{shop}-kubelet", f"node.{shop}-controller", f"pod.{shop}-pod"
        )
    mine = {f"{shop}-kubelet", f"{shop}-controller"}
    for listed in (events, detail["eventList"]["events"]):
        assert {each["message"] for each in listed if shop in each["message"]} == mine
    assert len(detail["eventList"]["events"]) == detail["eventList"]["listMeta"]["totalItems"]
    assert (detail["podCIDR"], detail["unschedulable"]) == (node["spec"].get("podCIDR", ""), False)
    assert detail["addresses"] == node["status"]["addresses"]
    assert [each["type"] for each in detail["conditions"]] == [each["type"] for each in node["status"]["conditions"]]
    images = [each for image in node["status"]["images"] for each in image["names"]]
    assert detail["containerImages"] == images
    assert {each["metricName"] for each in detail["metrics"]} <= {"cpu/usage_rate", "memory/usage"}
    for pods in (detail["podList"]["pods"], (await _fresh(reader, f"/node/{name}/pod"))["pods"]):
        assert {each["nodeName"] for each in pods} == {name}
        assert "web" in _names(pods)
    page = await reader.ok(f"/node/{name}", itemsPerPage=1, page=1)
    assert len(page["podList"]["pods"]) == 1
