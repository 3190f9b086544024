"""A pod's detail, as far as it is of the pod alone."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.workloads.environment import Sources
from ksnap.dashboard.kinds.workloads.pod_detail import claim_names, container_names, containers, pod_detail

POD: dict[str, Any] = {
    "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "registry"}],
        "securityContext": {"runAsUser": 1000},
        "containers": [
            {
                "name": "app",
                "image": "app:1",
                "command": ["run"],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "lost", "mountPath": "/lost", "readOnly": True, "subPath": "a"},
                ],
                "livenessProbe": {"tcpSocket": {"port": 80}},
                "resources": {"limits": {"cpu": "1"}},
            },
            {"name": "side", "image": "side:1"},
        ],
        "initContainers": [{"name": "init", "image": "init:1"}],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "none", "emptyDir": {}},
        ],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "qosClass": "Burstable",
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}],
        "containerStatuses": [
            {"name": "side", "restartCount": 2, "ready": True, "state": {"running": {"startedAt": "x"}}},
            {"name": "app", "restartCount": 1, "ready": True, "state": {"running": {}}, "imageID": "sha"},
        ],
        "initContainerStatuses": [
            {"name": "init", "restartCount": 5, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
        ],
    },
}


def test_a_pods_own_fields() -> None:
    row = pod_detail(POD, Sources())
    assert {key: row[key] for key in ("podPhase", "podIP", "nodeName", "serviceAccountName", "restartCount")} == {
        "podPhase": "Running",
        "podIP": "10.0.0.1",
        "nodeName": "n1",
        "serviceAccountName": "runner",
        "restartCount": 3,
    }
    assert (row["qosClass"], row["securityContext"]) == ("Burstable", {"runAsUser": 1000})
    assert row["imagePullSecrets"] == [{"name": "registry"}]
    assert row["objectMeta"] == POD["metadata"]
    assert row["typeMeta"] == {"kind": "pod"}
    assert msgspec.to_builtins(row["conditions"])[0]["type"] == "Ready"


def test_containers_have_their_own_status() -> None:
    app, side = containers(POD, "containers", Sources())
    (init,) = containers(POD, "initContainers", Sources())
    assert (app["name"], app["image"], app["commands"], app["args"]) == ("app", "app:1", ["run"], [])
    assert app["status"]["imageID"] == "sha"
    assert [each["state"] for each in (app, side, init)] == ["Running", "Running", "Terminated"]
    assert (app["livenessProbe"], app["readinessProbe"]) == ({"tcpSocket": {"port": 80}}, None)
    assert (app["resources"], side["resources"]) == ({"limits": {"cpu": "1"}}, {})


def test_mounts_carry_their_volume() -> None:
    data, lost = containers(POD, "containers", Sources())[0]["volumeMounts"]
    assert data == {
        "name": "data",
        "readOnly": False,
        "mountPath": "/data",
        "subPath": "",
        "volume": {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
    }
    assert (lost["readOnly"], lost["subPath"], lost["volume"]) == (True, "a", {"name": "lost"})


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "Waiting"),
        ({"running": {}}, "Running"),
        ({"terminated": {"exitCode": 0}}, "Terminated"),
        ({"terminated": {"exitCode": 1}}, "Failed"),
        ({"terminated": {"exitCode": -1073741510}}, "Failed"),
        ({}, "Unknown"),
        (None, "Unknown"),
    ],
)
def test_a_containers_state(state: dict[str, Any] | None, word: str) -> None:
    statuses = [] if state is None else [{"name": "a", "state": state}]
    pod = {"metadata": {}, "spec": {"containers": [{"name": "a"}]}, "status": {"containerStatuses": statuses}}
    (container,) = containers(pod, "containers", Sources())
    assert container["state"] == word
    assert (container["status"] is None) is (state is None)


def test_a_pod_that_has_next_to_nothing() -> None:
    row = pod_detail({"metadata": {"name": "a"}}, Sources())
    assert (row["podPhase"], row["containers"], row["conditions"]) == ("", [], ())
    assert "imagePullSecrets" not in row


def test_names() -> None:
    assert container_names(POD) == ["app", "side"]
    assert claim_names(POD) == {"claim", "web-0-scratch"}
    assert claim_names({"metadata": {}}) == frozenset()
