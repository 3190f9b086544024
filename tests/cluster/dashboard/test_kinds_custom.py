"""Custom resources of several versions, in namespaces and without, with a scale and without."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from dev.cluster.errors import CommandError
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account, rule
from tests.cluster.namespaces import own_namespace

Json = dict[str, Any]
CUPS = 12
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Filled", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Colour", "type": "string", "jsonPath": ".spec.colour", "priority": 1},
]


@dataclass(frozen=True, slots=True)
class Tea:
    """What the module made."""

    namespace: str
    other: str
    token: str

    @property
    def group(self) -> str:
        return f"{self.namespace}.example.dev"

    @property
    def cups(self) -> str:
        return f"cups.{self.group}"

    @property
    def plates(self) -> str:
        return f"plates.{self.group}"


def _version(name: str, *, served: bool = True, storage: bool = False, **more: Any) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"name": name, "served": served, "storage": storage, "schema": schema, **more}


def _definition(group: str, plural: str, kind: str, scope: str, *versions: Json) -> Json:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [f"{kind.lower()}x"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": list(versions)},
    }


def _definitions(group: str) -> list[Json]:
    """Cups are stored in the version that is written last; plates in one that is not served any more."""
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    newest = _version("v1", storage=True, subresources={"scale": scale, "status": {}}, additionalPrinterColumns=COLUMNS)
    cups = [_version("v1alpha1", served=False), _version("v1beta1"), newest]
    plates = [_version("v1", served=False, storage=True), _version("v2"), _version("v3")]
    return [
        _definition(group, "cups", "Cup", "Namespaced", *cups),
        _definition(group, "plates", "Plate", "Cluster", *plates),
    ]


def _cup(group: str, namespace: str, name: str, size: int) -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": {"size": str(size)}}
    return {"apiVersion": f"{group}/v1", "kind": "Cup", "metadata": metadata, "spec": {"size": size, "colour": "blue"}}


@pytest.fixture(scope="module")
def tea(kubectl: Kubectl) -> Iterator[Tea]:
    with (
        own_namespace(kubectl) as here,
        own_namespace(kubectl) as there,
        account(kubectl, here, cluster_rules=[READ_ALL]) as token,
    ):
        made = Tea(here, there, token)
        definitions = [f"crd/{made.cups}", f"crd/{made.plates}"]
        kubectl.apply(*_definitions(made.group))
        try:
            kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions, timeout_s=40)
            cups = [_cup(made.group, here, f"cup-{number:02}", number) for number in range(CUPS)]
            plate = {"apiVersion": f"{made.group}/v2", "kind": "Plate", "metadata": {"name": "round"}}
            _apply_soon(kubectl, *cups, _cup(made.group, there, "far", 1), plate)
            yield made
        finally:
            kubectl("delete", *definitions, timeout_s=60)


def _apply_soon(kubectl: Kubectl, *manifests: Json) -> None:
    """A resource is served a moment after its definition says so."""
    deadline = time.monotonic() + 30
    while True:
        try:
            kubectl.apply(*manifests)
        except CommandError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


@pytest.fixture
def reader(dashboard: Dashboard, tea: Tea) -> Dashboard:
    return dashboard.as_token(tea.token)


async def test_definitions_are_as_kubectl_says(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    asked = {"Cache-Control": "no-cache"}
    listed = await reader.call("GET", "/crd", headers=asked, query={"filterBy": f"name,{tea.group}"})
    rows = {each["objectMeta"]["name"]: each for each in listed.body["items"]}
    assert listed.body["errors"] == []
    assert set(rows) == {tea.cups, tea.plates}
    for name, shown, scope in ((tea.cups, "v1", "Namespaced"), (tea.plates, "v2", "Cluster")):
        found = json.loads(kubectl("get", "crd", name, "-o", "json"))
        row = rows[name]
        assert row["objectMeta"]["uid"] == found["metadata"]["uid"]
        assert row["typeMeta"] == {"kind": "customresourcedefinition"}
        assert row["names"] == found["spec"]["names"]
        assert (row["version"], row["scope"], row["group"]) == (shown, scope, tea.group)
        assert row["established"] == "True"
        detail = await reader.ok(f"/crd/{name}")
        assert {key: detail[key] for key in row} == row
        versions = found["spec"]["versions"]
        assert detail["versions"] == [{key: each[key] for key in ("name", "served", "storage")} for each in versions]
        conditions = {each["type"]: each["reason"] for each in detail["conditions"]}
        assert conditions == {each["type"]: each["reason"] for each in found["status"]["conditions"]}


async def test_a_definitions_detail_has_its_first_objects(reader: Dashboard, tea: Tea) -> None:
    cups = await reader.ok(f"/crd/{tea.cups}")
    assert cups["subresources"] == ["Scale", "Status"]
    assert cups["objects"]["typeMeta"] == {"kind": "CupList", "apiVersion": f"{tea.group}/v1"}
    assert (cups["objects"]["listMeta"]["totalItems"], len(cups["objects"]["items"])) == (CUPS + 1, 10)
    plates = await reader.ok(f"/crd/{tea.plates}")
    assert plates["subresources"] == []
    assert [each["objectMeta"]["name"] for each in plates["objects"]["items"]] == ["round"]


async def test_objects_are_as_kubectl_says(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    expected = json.loads(kubectl("-n", tea.namespace, "get", tea.cups, "-o", "json"))["items"]
    listed = await reader.call("GET", f"/crd/{tea.namespace}/{tea.cups}/object", headers={"Cache-Control": "no-cache"})
    body = listed.body
    assert (body["listMeta"], body["errors"]) == ({"totalItems": CUPS}, [])
    assert body["typeMeta"] == {"kind": "CupList", "apiVersion": f"{tea.group}/v1"}
    for row, found in zip(body["items"], expected, strict=True):
        assert row["typeMeta"] == {"kind": tea.cups, "scalable": True}
        for field in ("name", "namespace", "uid", "labels", "creationTimestamp"):
            assert row["objectMeta"][field] == found["metadata"][field]
        assert row["columns"] == {"Size": found["spec"]["size"], "Colour": "blue"}
        detail = await reader.ok(f"/crd/{tea.namespace}/{tea.cups}/{found['metadata']['name']}")
        assert detail["objectMeta"]["uid"] == found["metadata"]["uid"]
        assert (detail["typeMeta"], detail["errors"]) == (row["typeMeta"], [])


async def test_namespaces_pages_and_orders(reader: Dashboard, tea: Tea) -> None:
    path = f"/{tea.cups}/object"
    both = await reader.ok(f"/crd/{tea.namespace},{tea.other}{path}")
    assert both["listMeta"] == {"totalItems": CUPS + 1}
    assert await reader.ok(f"/crd/%20{path}") == both
    far = await reader.ok(f"/crd/{tea.other}{path}")
    assert [each["objectMeta"]["name"] for each in far["items"]] == ["far"]
    page = await reader.ok(f"/crd/{tea.namespace}{path}", sortBy="d,name", itemsPerPage=2, page=2)
    assert [each["objectMeta"]["name"] for each in page["items"]] == ["cup-09", "cup-08"]
    assert (await reader.get(f"/crd/{tea.namespace}{path}", filterBy="colour,blue")).status == 400


async def test_what_has_no_namespace_is_found_under_any(reader: Dashboard, tea: Tea) -> None:
    for namespace in ("%20", tea.namespace):
        listed = await reader.ok(f"/crd/{namespace}/{tea.plates}/object")
        assert [each["objectMeta"]["name"] for each in listed["items"]] == ["round"]
        detail = await reader.ok(f"/crd/{namespace}/{tea.plates}/round")
        assert detail["typeMeta"] == {"kind": tea.plates}
        assert "namespace" not in detail["objectMeta"]


async def test_changes_come_by_the_watch(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    path, asked = f"/crd/{tea.other}/{tea.cups}/object", {"Cache-Control": "no-cache"}
    await reader.ok(path)
    kubectl.apply(_cup(tea.group, tea.other, "far", 7), _cup(tea.group, tea.other, "object", 2))
    listed = (await reader.call("GET", path, headers=asked)).body["items"]
    assert [(each["objectMeta"]["name"], each["columns"]["Size"]) for each in listed] == [("far", 7), ("object", 2)]
    kubectl("-n", tea.other, "delete", tea.cups, "object")
    listed = (await reader.call("GET", path, headers=asked)).body["items"]
    assert [each["objectMeta"]["name"] for each in listed] == ["far"]


async def test_events_are_of_the_object_and_of_its_kind(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    uid = kubectl("-n", tea.namespace, "get", tea.cups, "cup-01", "-o", "jsonpath={.metadata.uid}")
    kubectl.apply(
        _event(tea, "broke", {"kind": "Cup", "name": "cup-01", "uid": uid}),
        _event(tea, "other", {"kind": "Pod", "name": "cup-01"}),
    )
    found = await reader.call(
        "GET", f"/crd/{tea.namespace}/{tea.cups}/cup-01/event", headers={"Cache-Control": "no-cache"}
    )
    assert [each["message"] for each in found.body["events"]] == ["broke"]


def _event(tea: Tea, message: str, involved: Json) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{involved['name']}.{message}", "namespace": tea.namespace},
        "involvedObject": {"namespace": tea.namespace, **involved},
        "message": message,
        "reason": "Tested",
        "type": "Normal",
    }


async def test_an_export_is_what_the_list_selects(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    path = f"/crd/{tea.namespace}/{tea.cups}/object"
    selected: dict[str, str | int] = {"filterBy": "name,cup-0", "sortBy": "d,name", "itemsPerPage": 2, "page": 1}
    answer = await reader.get(path, export="yaml", **selected)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{tea.cups}.yaml"'
    exported = list(yaml.safe_load_all(answer.text))
    for name, found in zip(("cup-09", "cup-08"), exported, strict=True):
        whole = kubectl.get(tea.namespace, tea.cups, name)
        whole["metadata"].pop("managedFields", None)
        assert found == whole
    as_json = json.loads((await reader.get(f"/crd/%20/{tea.cups}/object", export="json")).text)
    assert (as_json["kind"], len(as_json["items"])) == ("List", CUPS + 1)
    of_cluster = await reader.get(f"/crd/x/{tea.plates}/object", export="yaml")
    assert [each["kind"] for each in yaml.safe_load_all(of_cluster.text)] == ["Plate"]
    assert (await reader.get(path, export="xml")).status == 400


async def test_an_export_is_never_a_part(dashboard: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    definitions = rule("customresourcedefinitions", "get", group="apiextensions.k8s.io")
    cups = rule("cups", "list", group=tea.group)
    with account(kubectl, tea.other, rules=[cups], cluster_rules=[definitions]) as token:
        limited = dashboard.as_token(token)
        answer = await limited.get(f"/crd/{tea.other},{tea.namespace}/{tea.cups}/object", export="yaml")
        mine = await limited.get(f"/crd/{tea.other}/{tea.cups}/object", export="yaml")
    assert answer.status == 403
    assert [each["metadata"]["name"] for each in yaml.safe_load_all(mine.text)] == ["far"]


async def test_what_is_missing_is_404(reader: Dashboard, tea: Tea) -> None:
    for path in (
        f"/crd/nothing.{tea.group}",
        f"/crd/{tea.namespace}/nothing.{tea.group}/object",
        f"/crd/{tea.namespace}/{tea.cups}/none",
        f"/crd/{tea.namespace}/{tea.cups}/none/event",
    ):
        assert (await reader.get(path)).status == 404, path


async def test_a_definition_of_which_nothing_is_served(reader: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    name = f"lids.{tea.group}"
    unserved = _version("v1", served=False, storage=True)
    kubectl.apply(_definition(tea.group, "lids", "Lid", "Namespaced", unserved))
    try:
        detail = await reader.ok(f"/crd/{name}")
        listed = await reader.get(f"/crd/%20/{name}/object")
    finally:
        kubectl("delete", "crd", name, timeout_s=60)
    assert (detail["version"], detail["objects"]["items"]) == ("v1", [])
    assert [each["ErrStatus"]["code"] for each in detail["objects"]["errors"]] == [404]
    assert listed.status == 404


async def test_objects_need_a_right_of_their_own(dashboard: Dashboard, kubectl: Kubectl, tea: Tea) -> None:
    definitions = rule("customresourcedefinitions", "get", group="apiextensions.k8s.io")
    cups = rule("cups", "list", group=tea.group)
    with account(kubectl, tea.other, rules=[cups], cluster_rules=[definitions]) as token:
        limited = dashboard.as_token(token)
        found = await limited.ok(f"/crd/{tea.namespace},{tea.other}/{tea.cups}/object")
        detail = await limited.get(f"/crd/{tea.other}/{tea.cups}/far")
    assert [each["objectMeta"]["name"] for each in found["items"]] == ["far"]
    assert [each["ErrStatus"]["code"] for each in found["errors"]] == [403]
    assert detail.status == 403
    with account(kubectl, tea.other, rules=[cups]) as token:
        unseen = await dashboard.as_token(token).ok(f"/crd/{tea.other}/{tea.cups}/object")
    assert (unseen["items"], unseen["errors"][0]["ErrStatus"]["code"]) == ([], 403)
