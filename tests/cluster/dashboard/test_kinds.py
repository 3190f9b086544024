"""Lists and details of the kinds that are no workloads, against `kubectl get -o json` of the real cluster."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account
from tests.cluster.dashboard.thirty import MANY, thirty_of_each
from tests.cluster.namespaces import own_namespace

Json = dict[str, Any]


@pytest.fixture(scope="module")
def thirty(kubectl: Kubectl) -> Iterator[str]:
    """The namespace, after which all is named."""
    with own_namespace(kubectl) as namespace, thirty_of_each(kubectl, namespace):
        yield namespace


@pytest.fixture(scope="module")
def other(kubectl: Kubectl) -> Iterator[str]:
    """A second namespace, with one object of each kind."""
    with own_namespace(kubectl) as namespace, thirty_of_each(kubectl, namespace, many=1):
        yield namespace


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, thirty: str) -> Iterator[str]:
    with account(kubectl, thirty, cluster_rules=[READ_ALL]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    """One who may see everything."""
    return dashboard.as_token(token)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a kind's rows and details hold of an object."""

    kind: str
    row: Callable[[Json], Json] = lambda _: {}
    detail: Callable[[Json], Json] = lambda _: {}
    items: str = "items"
    namespaced: bool = True


def _endpoint(host: str, service: Json) -> Json:
    ports = [
        {"port": each["port"], "protocol": each["protocol"], "nodePort": each.get("nodePort", 0)}
        for each in service["spec"]["ports"]
    ]
    return {"host": host, "ports": ports}


def _service(found: Json) -> Json:
    spec, metadata = found["spec"], found["metadata"]
    return {
        "type": spec["type"],
        "clusterIP": spec["clusterIP"],
        "selector": spec["selector"],
        "internalEndpoint": _endpoint(f"{metadata['name']}.{metadata['namespace']}", found),
        "externalEndpoints": [_endpoint(each, found) for each in spec.get("externalIPs", [])],
    }


def _class_parameters(found: Json) -> Json:
    given = found["spec"].get("parameters", {})
    names = {"kind": "Kind", "name": "Name", "apiGroup": "ApiGroup", "scope": "Scope"}
    return {"parameters": {names[key]: value for key, value in given.items()}}


def _volume(found: Json) -> Json:
    spec = found["spec"]
    claim = spec.get("claimRef")
    return {
        "capacity": spec["capacity"],
        "accessModes": spec["accessModes"],
        "reclaimPolicy": spec["persistentVolumeReclaimPolicy"],
        "storageClass": spec["storageClassName"],
        "mountOptions": spec.get("mountOptions", []),
        "status": found["status"]["phase"],
        "claim": f"{claim['namespace']}/{claim['name']}" if claim else "",
        "reason": "",
    }


def _claim(found: Json) -> Json:
    return {
        "status": found["status"]["phase"],
        "volume": found["spec"].get("volumeName", ""),
        "capacity": found["status"].get("capacity", {}),
        "accessModes": found["spec"]["accessModes"],
        "storageClass": found["spec"]["storageClassName"],
    }


def _picked(*names: str, of: str = "") -> Callable[[Json], Json]:
    """Those of the fields that the object has, unchanged."""

    def pick(found: Json) -> Json:
        part = found[of] if of else found
        return {name: part[name] for name in names if name in part}

    return pick


def _rules(found: Json) -> Json:
    return {"rules": found["rules"] or []}


KINDS = [
    Shown("service", _service, _picked("sessionAffinity", of="spec"), items="services"),
    Shown(
        "ingress",
        lambda found: {
            "hosts": list(dict.fromkeys(each["host"] for each in found["spec"].get("rules", []))),
            "endpoints": [],
        },
        _picked("spec", "status"),
    ),
    Shown("ingressclass", _picked("controller", of="spec"), _class_parameters, namespaced=False),
    Shown("networkpolicy", detail=_picked("podSelector", "ingress", "egress", "policyTypes", of="spec")),
    Shown("configmap", detail=_picked("data")),
    Shown("secret", _picked("type"), _picked("data"), items="secrets"),
    Shown("persistentvolumeclaim", _claim),
    Shown(
        "persistentvolume",
        _volume,
        lambda found: {"persistentVolumeSource": {"hostPath": found["spec"]["hostPath"]}, "message": ""},
        namespaced=False,
    ),
    Shown(
        "storageclass",
        lambda found: {"provisioner": found["provisioner"], "parameters": found.get("parameters", {})},
        namespaced=False,
    ),
    Shown("serviceaccount"),
    Shown("role", detail=_rules),
    Shown("rolebinding", detail=_picked("subjects", "roleRef")),
    Shown("clusterrole", detail=_rules, namespaced=False),
    Shown("clusterrolebinding", detail=_picked("subjects", "roleRef"), namespaced=False),
]


def object_meta(found: Json) -> Json:
    names = ("name", "namespace", "labels", "annotations", "creationTimestamp", "uid")
    return {name: found["metadata"][name] for name in names if name in found["metadata"]}


@pytest.mark.parametrize("shown", KINDS, ids=lambda shown: shown.kind)
async def test_lists_and_details_are_as_kubectl_says(
    reader: Dashboard, kubectl: Kubectl, thirty: str, shown: Shown
) -> None:
    where = ["-n", thirty] if shown.namespaced else []
    expected = [
        each
        for each in json.loads(kubectl(*where, "get", shown.kind, "-o", "json"))["items"]
        if each["metadata"]["name"].startswith(f"{thirty}-")
    ]
    assert len(expected) == MANY
    path = f"/{shown.kind}/{thirty}" if shown.namespaced else f"/{shown.kind}"
    query: dict[str, str | int] = {"filterBy": f"name,{thirty}-"}
    listed = await reader.call("GET", path, headers={"Cache-Control": "no-cache"}, query=query)
    assert (listed.status, listed.body["errors"], listed.body["listMeta"]) == (200, [], {"totalItems": MANY})
    rows = {each["objectMeta"]["name"]: each for each in listed.body[shown.items]}
    for each in expected:
        row = {"objectMeta": object_meta(each), "typeMeta": {"kind": shown.kind}, **shown.row(each)}
        name = each["metadata"]["name"]
        assert rows[name] == row
        detail = await reader.ok(f"{path}/{name}")
        beyond = {"endpointList": {"listMeta": {"totalItems": 0}, "endpoints": []}} if shown.kind == "service" else {}
        assert detail == {**row, **beyond, **shown.detail(each), "errors": []}


async def test_a_volume_is_found_by_all_of_its_paths(reader: Dashboard, thirty: str) -> None:
    name = f"{thirty}-03"
    first = await reader.ok(f"/persistentvolume/{name}")
    assert first["claim"] == f"{thirty}/{name}"
    assert await reader.ok(f"/persistentvolume/namespace/{thirty}/name/{name}") == first
    of_class = await reader.ok(f"/storageclass/{name}/persistentvolume")
    assert [each["objectMeta"]["name"] for each in of_class["items"]] == [name]


async def test_pages_and_orders_hold_for_all_kinds(reader: Dashboard, thirty: str) -> None:
    query: dict[str, str | int] = {"filterBy": f"name,{thirty}-", "sortBy": "d,name", "itemsPerPage": 4, "page": 2}
    for shown in KINDS:
        path = f"/{shown.kind}/{thirty}" if shown.namespaced else f"/{shown.kind}"
        found = await reader.ok(path, **query)
        names = [each["objectMeta"]["name"] for each in found[shown.items]]
        assert names == [f"{thirty}-{number:02}" for number in (25, 24, 23, 22)]
        assert found["listMeta"] == {"totalItems": MANY}


async def test_a_list_of_namespaces_is_kept_to_for_all_kinds(reader: Dashboard, thirty: str, other: str) -> None:
    """Ingresses, secrets, accounts and policies of all namespaces came in the original."""
    for shown in KINDS:
        if not shown.namespaced:
            continue
        query: dict[str, str | int] = {"filterBy": "name,-00", "itemsPerPage": 1000, "page": 1}
        asked = {"Cache-Control": "no-cache"}
        both = await reader.call("GET", f"/{shown.kind}/{thirty}, {other}", headers=asked, query=query)
        everywhere = await reader.call("GET", f"/{shown.kind}/%20", query=query)
        assert _namespaces(both.body[shown.items]) == {thirty, other}
        assert _namespaces(everywhere.body[shown.items]) >= {thirty, other}
        whole = await reader.ok(f"/{shown.kind}/{thirty},{other}")
        assert _namespaces(whole[shown.items]) == {thirty, other}
        assert (await reader.ok(f"/{shown.kind}"))["listMeta"]["totalItems"] >= whole["listMeta"]["totalItems"]


def _namespaces(rows: list[Json]) -> set[str]:
    return {each["objectMeta"]["namespace"] for each in rows}


async def test_a_service_type_and_a_secrets_type_are_filters(reader: Dashboard, thirty: str) -> None:
    balanced = await reader.ok(f"/service/{thirty}", filterBy="type,LoadBalancer")
    assert balanced["listMeta"] == {"totalItems": 10}
    typed = await reader.ok(f"/secret/{thirty}", filterBy="type,example.dev/t1")
    assert typed["listMeta"] == {"totalItems": 10}
    assert "hidden" not in json.dumps(typed)


async def test_no_cache_keeps_a_secret(reader: Dashboard, thirty: str) -> None:
    answer = await reader.get(f"/secret/{thirty}/{thirty}-00")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_is_missing_is_404(reader: Dashboard, thirty: str) -> None:
    for shown in KINDS:
        path = f"/{shown.kind}/{thirty}/none" if shown.namespaced else f"/{shown.kind}/none"
        answer = await reader.get(path)
        assert answer.status == 404, path
        assert "not found" in answer.text
