"""A container's variables, as the kubelet would set them."""

from typing import Any

import pytest

from ksnap.dashboard.kinds.workloads.environment import (
    References,
    Sources,
    environment,
    field_value,
    references,
    resource_value,
)

CONTAINER: dict[str, Any] = {
    "name": "app",
    "resources": {"requests": {"cpu": "250m", "memory": "100Mi"}, "limits": {"cpu": "1500m"}},
    "env": [
        {"name": "PLAIN", "value": "x"},
        {"name": "EMPTY"},
        {"name": "OF_MAP", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        {"name": "NO_KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "none", "optional": True}}},
        {"name": "NO_MAP", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "mode"}}},
        {"name": "OF_SECRET", "valueFrom": {"secretKeyRef": {"name": "password", "key": "it"}}},
        {"name": "OF_FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "OF_LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
        {"name": "OF_FILE", "valueFrom": {"fileKeyRef": {"path": "a", "key": "b", "volumeName": "c"}}},
    ],
    "envFrom": [
        {"configMapRef": {"name": "settings"}},
        {"prefix": "S_", "secretRef": {"name": "all"}},
        {"configMapRef": {"name": "later"}},
        {"configMapRef": {"name": "gone", "optional": True}},
    ],
}
POD: dict[str, Any] = {
    "metadata": {
        "name": "web-0",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"tier": "front", "app": 'we"b'},
        "annotations": {"note": "two\nlines"},
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "runner",
        "containers": [CONTAINER],
        "initContainers": [{"name": "init", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "early"}}}]}],
    },
    "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "hostIP": "192.0.2.1"},
}
MAPS = {"settings": {"data": {"mode": "fast", "PLAIN": "lost"}}, "later": {"data": {"mode": "slow"}}}
SECRETS = {"password": {"data": {"it": "c2VjcmV0"}}, "all": {"data": {"a": "QQ=="}}}


def values(*, show: bool) -> dict[str, str]:
    rows = environment(CONTAINER, POD, Sources(MAPS, SECRETS, show_secrets=show))
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: row["value"] for row in rows}


def test_values_come_from_what_they_refer_to() -> None:
    assert values(show=True) == {
        "PLAIN": "x",
        "EMPTY": "",
        "OF_MAP": "fast",
        "NO_KEY": "",
        "NO_MAP": "",
        "OF_SECRET": "c2VjcmV0",
        "OF_FIELD": "web-0",
        "OF_LIMIT": "2",
        "OF_FILE": "",
        "mode": "slow",
        "S_a": "QQ==",
    }


def test_secrets_are_hidden_unless_asked_for() -> None:
    shown = values(show=False)
    assert (shown["OF_SECRET"], shown["S_a"], shown["mode"]) == ("", "", "slow")
    rows = {row["name"]: row for row in environment(CONTAINER, POD, Sources(MAPS, SECRETS))}
    assert rows["OF_SECRET"]["hidden"] is True
    assert "hidden" not in rows["mode"]


def test_variables_of_a_whole_map_say_where_they_are_from() -> None:
    rows = {row["name"]: row for row in environment(CONTAINER, POD, Sources(MAPS, SECRETS))}
    assert rows["S_a"]["valueFrom"] == {"secretKeyRef": {"name": "all", "key": "a"}}
    assert rows["mode"]["valueFrom"] == {"configMapKeyRef": {"name": "later", "key": "mode"}}
    assert (rows["PLAIN"]["value"], rows["PLAIN"]["valueFrom"]) == ("x", None)


def test_only_what_is_referred_to_is_read() -> None:
    maps = frozenset({"settings", "later", "gone"})
    assert references(POD, show_secrets=True) == References(maps, frozenset({"password", "all", "early"}))
    assert references(POD, show_secrets=False) == References(maps, frozenset({"all"}))
    assert references({}, show_secrets=True) == References(frozenset(), frozenset())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-0"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels", 'app="we\\"b"\ntier="front"'),
        ("metadata.labels['tier']", "front"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations", 'note="two\\nlines"'),
        ("metadata.annotations['note']", "two\nlines"),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "runner"),
        ("status.podIP", "10.0.0.1"),
        ("status.podIPs", "10.0.0.1,fd00::1"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", ""),
        ("status.phase", ""),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert field_value(path, POD) == value


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.cpu"}, "1"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "100"),
        ({"resource": "requests.memory"}, "104857600"),
        ({"resource": "limits.memory"}, "node allocatable"),
        ({"resource": "requests.ephemeral-storage"}, "0"),
        ({"resource": "limits.cpu", "containerName": "init"}, "node allocatable"),
        ({"resource": "limits.cpu", "containerName": "none"}, "node allocatable"),
        ({"resource": "requests.cpu", "divisor": "nonsense"}, "1"),
    ],
)
def test_requests_and_limits(reference: dict[str, str], value: str) -> None:
    assert resource_value(reference, CONTAINER, POD) == value
