"""Nodes, namespaces, definitions and custom objects out of literals."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.cluster.definitions import definition_detail
from ksnap.dashboard.kinds.cluster.namespaces import namespace_detail
from ksnap.dashboard.kinds.cluster.nodes import NODES, Node, allocated
from ksnap.dashboard.kinds.common import as_record
from ksnap.dashboard.kinds.custom.objects import custom_of, custom_row, list_body
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.strings import Strings

NODE: dict[str, Any] = {
    "metadata": {"name": "n1"},
    "status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "3", "memory": "4Gi"},
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}


def _pod(phase: str, cpu: str, memory: str) -> Any:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu}}
    spec = {"nodeName": "n1", "containers": [{"name": "a", "resources": resources}]}
    return as_record(PODS.resource, {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}})


def test_a_nodes_pods_reserve_parts_of_what_is_allocatable() -> None:
    node: Node = as_record(NODES.resource, NODE)
    pods = [_pod("Running", "500m", "1Gi"), _pod("Pending", "1", "1Gi"), _pod("Succeeded", "2", "1Gi")]
    found = allocated(node, pods)
    assert (found["cpuRequests"], found["cpuLimits"], found["cpuCapacity"]) == (1500, 1500, 3000)
    assert (found["memoryRequests"], found["memoryLimits"], found["memoryCapacity"]) == (2 << 30, 0, 4 << 30)
    assert (found["cpuRequestsFraction"], found["memoryRequestsFraction"]) == (50.0, 50.0)
    assert (found["allocatedPods"], found["podCapacity"]) == (2, 110)
    assert found["podFraction"] == pytest.approx(100 * 2 / 110)


def test_a_node_that_has_said_nothing_yet() -> None:
    node: Node = as_record(NODES.resource, {"metadata": {"name": "n1"}})
    assert node.ready == "Unknown"
    assert allocated(node, ())["podFraction"] == 0.0


def test_a_namespaces_quotas_and_limits() -> None:
    quota = {
        "metadata": {"name": "q", "namespace": "shop"},
        "spec": {"scopes": ["BestEffort"]},
        "status": {"hard": {"pods": "4", "cpu": "2"}, "used": {"pods": "1"}},
    }
    limits = {
        "metadata": {"name": "l"},
        "spec": {
            "limits": [{"type": "Container", "max": {"cpu": "2"}, "defaultRequest": {"cpu": "1", "memory": "1Gi"}}]
        },
    }
    detail = namespace_detail({"metadata": {"name": "shop"}, "status": {"phase": "Active"}}, [quota], [limits])
    assert detail["phase"] == "Active"
    listed = detail["resourceQuotaList"]
    assert listed["listMeta"] == {"totalItems": 1}
    assert listed["items"][0]["scopes"] == ["BestEffort"]
    assert listed["items"][0]["statusList"] == {"pods": {"used": "1", "hard": "4"}, "cpu": {"used": "0", "hard": "2"}}
    assert detail["resourceLimits"] == [
        {"resourceName": "cpu", "resourceType": "Container", "max": "2", "defaultRequest": "1"},
        {"resourceName": "memory", "resourceType": "Container", "defaultRequest": "1Gi"},
    ]


def _definition(*versions: dict[str, Any], scope: str = "Namespaced") -> dict[str, Any]:
    return {
        "metadata": {"name": "cups.tea.example"},
        "spec": {
            "group": "tea.example",
            "scope": scope,
            "names": {"plural": "cups", "kind": "Cup", "listKind": "CupList", "shortNames": ["cp"]},
            "versions": list(versions),
        },
        "status": {"conditions": [{"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}]},
    }


def _version(name: str, *, served: bool = True, storage: bool = False, **subresources: Any) -> dict[str, Any]:
    return {"name": name, "served": served, "storage": storage, "subresources": subresources}


@pytest.mark.parametrize(
    ("versions", "shown"),
    [
        ([_version("v1"), _version("v2", storage=True)], "v2"),
        ([_version("v1", served=False), _version("v2"), _version("v3", served=False, storage=True)], "v2"),
        ([_version("v1", served=False), _version("v2", served=False, storage=True)], "v2"),
    ],
)
def test_the_version_that_is_stored_if_it_is_served_else_the_first_that_is(
    versions: list[dict[str, Any]], shown: str
) -> None:
    found = _definition(*versions)
    assert definition_detail(found, {})["version"] == shown
    assert custom_of(found).kind.resource.version == shown


def test_a_definition_with_its_names_and_versions() -> None:
    detail = definition_detail(_definition(_version("v1", storage=True)), _version("v1", status={}, scale={}))
    assert msgspec.json.decode(msgspec.json.encode(detail["names"])) == {
        "plural": "cups",
        "kind": "Cup",
        "listKind": "CupList",
        "shortNames": ["cp"],
    }
    assert detail["typeMeta"] == {"kind": "customresourcedefinition"}
    assert (detail["scope"], detail["group"], detail["established"]) == ("Namespaced", "tea.example", "True")
    assert detail["versions"] == [{"name": "v1", "served": True, "storage": True}]
    assert detail["subresources"] == ["Scale", "Status"]
    assert detail["conditions"][0].reason == "InitialNamesAccepted"


def test_custom_objects_are_of_their_definitions_kind() -> None:
    scaled = custom_of(_definition(_version("v1", storage=True, scale={})))
    row = custom_row(scaled, {"metadata": {"name": "mine", "namespace": "shop"}, "spec": {"size": 3}})
    assert row["typeMeta"] == {"kind": "cups.tea.example", "scalable": True}
    assert list_body(scaled, {"items": []})["typeMeta"] == {"kind": "CupList", "apiVersion": "tea.example/v1"}
    plain = custom_of(_definition(_version("v1", storage=True), scope="Cluster"))
    assert custom_row(plain, {"metadata": {"name": "mine"}})["typeMeta"] == {"kind": "cups.tea.example"}
    assert (plain.namespaced, scaled.namespaced) == (False, True)


def test_printer_columns_come_with_the_list_but_for_ages() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Last filled", "type": "date", "jsonPath": ".status.filled"},
        {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"},
    ]
    custom = custom_of(_definition({**_version("v1", storage=True), "additionalPrinterColumns": columns}))
    table = {
        "columnDefinitions": [{"name": each} for each in ("Name", "Size", "Last filled", "Colour")],
        "rows": [{"cells": ["mine", 3, "5m", "blue"], "object": {"metadata": {"name": "mine"}}}],
    }
    record = Decoder(custom.kind.resource, Strings()).record(msgspec.json.encode(table))
    assert custom.kind.full_row(record, Around("", {}))["columns"] == {"Size": 3, "Colour": "blue"}
