"""Who may see what of the kinds that are no workloads: rights in some namespaces, and rights to a part of a detail."""

from collections.abc import Iterator

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.namespaces import own_namespace


@pytest.fixture(scope="module")
def places(kubectl: Kubectl) -> Iterator[tuple[str, str]]:
    """Two namespaces, each with a secret and a config map."""
    with own_namespace(kubectl) as here, own_namespace(kubectl) as there:
        for namespace in (here, there):
            kubectl("-n", namespace, "create", "configmap", "kept", "--from-literal=a=1")
            kubectl("-n", namespace, "create", "secret", "generic", "kept", "--from-literal=a=1")
            kubectl("-n", namespace, "create", "service", "clusterip", "kept", "--tcp=80:80")
        yield here, there


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, places: tuple[str, str]) -> Iterator[str]:
    """Of one who may see config maps and services in the first namespace, and nodes and namespaces."""
    rules = [rule("configmaps", "get", "list"), rule("services", "get", "list")]
    everywhere = [rule("nodes", "get", "list"), rule("namespaces", "get", "list")]
    with account(kubectl, places[0], rules=rules, cluster_rules=everywhere) as token:
        yield token


@pytest.fixture
def limited(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


async def test_a_right_in_one_of_two_namespaces(limited: Dashboard, places: tuple[str, str]) -> None:
    here, there = places
    asked = {"Cache-Control": "no-cache"}
    found = (await limited.call("GET", f"/configmap/{here},{there}", headers=asked)).body
    assert {each["objectMeta"]["namespace"] for each in found["items"]} == {here}
    assert [each["ErrStatus"]["code"] for each in found["errors"]] == [403]
    assert there in found["errors"][0]["ErrStatus"]["message"]
    assert (await limited.ok(f"/configmap/{here}"))["errors"] == []


async def test_without_a_right_a_list_is_empty_and_says_why(limited: Dashboard, places: tuple[str, str]) -> None:
    for path, items in (("/persistentvolume", "items"), (f"/secret/{places[0]}", "secrets"), ("/crd", "items")):
        found = await limited.ok(path)
        assert (found[items], found["listMeta"]) == ([], {"totalItems": 0})
        assert [each["ErrStatus"]["code"] for each in found["errors"]] == [403]


async def test_a_detail_without_a_right_is_403(limited: Dashboard, places: tuple[str, str]) -> None:
    here, there = places
    for path in (f"/secret/{here}/kept", f"/configmap/{there}/kept", "/crd/none.example.dev"):
        answer = await limited.get(path)
        assert (answer.status, answer.text[:11]) == (403, "forbidden: "), path


async def test_what_is_beside_an_object_may_be_forbidden_alone(limited: Dashboard, places: tuple[str, str]) -> None:
    """Endpoints, quotas, limits and pods: the object is shown without them, and the 403 with it."""
    here, _ = places
    service = await limited.ok(f"/service/{here}/kept")
    assert (service["objectMeta"]["name"], _refused(service)) == ("kept", {"endpointslices"})
    assert service["endpointList"]["endpoints"] == []
    namespace = await limited.ok(f"/namespace/{here}")
    assert (namespace["phase"], _refused(namespace)) == ("Active", {"resourcequotas", "limitranges"})
    nodes = await limited.ok("/node")
    assert len(nodes["nodes"]) == nodes["listMeta"]["totalItems"] > 0
    assert (nodes["nodes"][0]["allocatedResources"]["allocatedPods"], _refused(nodes)) == (0, {"pods"})
    node = await limited.ok(f"/node/{nodes['nodes'][0]['objectMeta']['name']}")
    assert (node["podList"]["pods"], _refused(node["podList"])) == ([], {"pods", "events"})
    assert _refused(node["eventList"]) == {"events"}


def _refused(body: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> set[str]:
    return {each["ErrStatus"]["details"]["kind"] for each in body["errors"]}


async def test_related_lists_of_an_object_that_may_not_be_seen(limited: Dashboard, places: tuple[str, str]) -> None:
    found = await limited.ok(f"/serviceaccount/{places[0]}/default/secret")
    assert found["secrets"] == []
    assert _refused(found) == {"serviceaccounts", "secrets"}
    missing = await limited.get(f"/service/{places[0]}/none/pod")
    assert missing.status == 404


async def test_a_list_of_namespaces_does_not_spoil_the_next_list(
    dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, places: tuple[str, str]
) -> None:
    here, there, elsewhere = *places, namespace
    kubectl.apply(*(_waiting(cluster, each) for each in (here, there, elsewhere)))
    with account(kubectl, here, cluster_rules=[rule("secrets", "list"), rule("pods", "list")]) as token:
        seeing = dashboard.as_token(token)
        asked = {"Cache-Control": "no-cache"}
        secrets = (await seeing.call("GET", f"/secret/{here},{there}", headers=asked)).body["secrets"]
        names = sorted((each["objectMeta"]["namespace"], each["objectMeta"]["name"]) for each in secrets)
        assert names == sorted((each, "kept") for each in places)
        assert _namespaces(await seeing.ok(f"/pod/{here},{there}")) == {here, there}
        assert _namespaces(await seeing.ok("/pod")) >= {here, there, elsewhere}


def _namespaces(pods: dict[str, list[dict[str, dict[str, str]]]]) -> set[str]:
    return {each["objectMeta"]["namespace"] for each in pods["pods"]}


def _waiting(cluster: ClusterInfo, namespace: str) -> dict[str, object]:
    """A pod that nobody schedules."""
    containers = [{"name": "main", "image": cluster.images["pause"]}]
    spec = {"schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits", "namespace": namespace}, "spec": spec}
