"""What stands in the way of a pod's freeze, one case a finding: the API server's words in, findings out."""

import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from ksnap.checkpoints import remedies
from ksnap.checkpoints.findings import Finding, problems
from ksnap.checkpoints.node_doctor import NodeDiagnosis, diagnose_cluster
from ksnap.checkpoints.node_reports import Look, Pulled
from ksnap.checkpoints.pod_doctor import PodDiagnosis, diagnose_pod
from ksnap.node.protocol import NodeReport

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "nodeName": "node1",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "app", "image": "r/web:1"}],
    },
    "status": {"phase": "Running", "containerStatuses": [{"name": "app", "state": {"running": {}}}]},
}
# What is always said of a container on a good node.
ALWAYS = {"io-uring": "ok", "tcp-connections": "ok", "inside-not-known": "unknown"}
REPORT: dict[str, Any] = {
    "node_name": "node1",
    "timestamp": NOW,
    "agent_version": "1",
    "container_runtime": "containerd://2.1.9",
    "checkpointing_enabled": True,
    "restore_supported": "runtime",
    "criu_options": ["tcp-close", "skip-in-flight"],
    "checks": {"checkpoint": "checkpoint:pass"},
}


def node(*, reported: bool = True, answers: bool = True, **different: Any) -> NodeDiagnosis:
    """The pod's node as the other half of the doctor judges it."""
    names = frozenset({"node1"})
    pulled = Pulled(0.0, names if answers else frozenset(), names, names)
    reports = [NodeReport.model_validate(REPORT | different)] if reported else []
    [found] = diagnose_cluster("prod", Look(reports, pulled), NOW, namespace="ksnap").nodes
    return found


def pod(**spec: Any) -> dict[str, Any]:
    """The pod with members of its spec replaced or added."""
    made = copy.deepcopy(POD)
    made["spec"] |= spec
    return made


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[POD["spec"]["containers"][0] | fields])


def levels(findings: Sequence[Finding]) -> dict[str, str]:
    return {each.id: each.level.value for each in findings}


def of_container(made: dict[str, Any], on: NodeDiagnosis | None = None) -> dict[str, str]:
    """What is said of the container beyond what is always said."""
    [found] = diagnose_pod(made, on or node()).containers
    return {name: level for name, level in levels(found.findings).items() if ALWAYS.get(name) != level}


def of_pod(made: dict[str, Any], on: NodeDiagnosis | None = None) -> dict[str, str]:
    found = levels(diagnose_pod(made, on or node()).findings)
    return {name: level for name, level in found.items() if name != "node-freezes"}


def messages(diagnosis: PodDiagnosis, wanted: str) -> list[str]:
    return [each.message for each in diagnosis.all_findings if each.id == wanted]


def test_of_a_plain_pod_no_obstacle_is_known_and_no_promise_made() -> None:
    diagnosis = diagnose_pod(POD, node())
    assert levels(diagnosis.findings) == {"node-freezes": "ok"}
    assert levels(diagnosis.containers[0].findings) == ALWAYS
    assert problems(diagnosis.all_findings) == 0
    assert diagnosis.looked_at == [
        "the pod's spec and status, as the API server has them",
        "the report of node node1 of 2026-01-02T03:04:05Z",
    ]
    [unknown] = [each for each in diagnosis.all_findings if each.level == "unknown"]
    assert unknown.remedy.endswith("ksnap checkpoint create web --namespace shop --container app")


def test_a_pod_that_no_node_has_taken_yet() -> None:
    bare: dict[str, Any] = {"metadata": POD["metadata"], "spec": {"containers": [{"name": "app"}]}}
    diagnosis = diagnose_pod(bare, None)
    assert levels(diagnosis.findings) == {"pod-not-running": "problem"}
    assert diagnosis.node == ""
    assert len(diagnosis.looked_at) == 1
    assert levels(diagnosis.containers[0].findings) == {
        "container-not-running": "problem",
        "io-uring": "warning",
        "inside-not-known": "unknown",
    }


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed", "Unknown"])
def test_a_pod_that_does_not_run(phase: str) -> None:
    made = pod()
    made["status"]["phase"] = phase
    assert of_pod(made) == {"pod-not-running": "problem"}
    assert phase in messages(diagnose_pod(made, node()), "pod-not-running")[0]


def test_a_pod_that_is_being_deleted() -> None:
    made = pod()
    made["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert of_pod(made) == {"pod-ending": "problem"}


@pytest.mark.parametrize(
    ("state", "word"),
    [({"waiting": {"reason": "CrashLoopBackOff"}}, "waiting (CrashLoopBackOff)"), ({"terminated": {}}, "terminated")],
)
def test_a_container_that_does_not_run(state: dict[str, Any], word: str) -> None:
    made = pod()
    made["status"]["containerStatuses"][0]["state"] = state
    assert of_container(made) == {"container-not-running": "problem"}
    assert word in messages(diagnose_pod(made, node()), "container-not-running")[0]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"hostUsers": False}, {"user-namespace": "problem"}),
        ({"hostUsers": True}, {}),
        ({"hostNetwork": True}, {"host-network": "warning"}),
        ({"hostPID": True}, {"host-pid": "warning"}),
        ({"hostIPC": True}, {"host-ipc": "warning"}),
        ({"runtimeClassName": "gvisor"}, {"runtime-class": "unknown"}),
        ({"runtimeClassName": "ksnap"}, {}),
    ],
)
def test_what_the_whole_pod_shares_or_has_of_its_own(spec: dict[str, Any], found: dict[str, str]) -> None:
    assert of_pod(pod(**spec)) == found
    for each in diagnose_pod(pod(**spec), node()).findings:
        field = yaml.safe_load(each.remedy) if each.remedy else None
        assert field is None or spec.keys() == field.keys(), "the remedy names the field that is in the way"


@pytest.mark.parametrize(
    ("on", "found"),
    [
        (node(reported=False, answers=False), {"node-not-known": "problem"}),
        (node(answers=False), {"node-silent": "warning"}),
        (
            node(checkpointing_enabled=False, checks={"checkpoint": "checkpoint:fail:x"}),
            {"node-cannot-freeze": "problem"},
        ),
        (
            node(checkpointing_enabled=False, checks={"checkpoint": "checkpoint:fail:not tried yet"}),
            {"node-cannot-freeze": "unknown"},
        ),
    ],
)
def test_the_node_decides_too(on: NodeDiagnosis, found: dict[str, str]) -> None:
    assert of_pod(POD, on) == found


def test_a_node_that_cannot_hands_its_lines_on() -> None:
    on = node(
        checkpointing_enabled=False,
        freeze_obstacle="kubelet-offers-no-checkpoints",
        checks={"checkpoint": "checkpoint:fail:The kubelet does not offer checkpoints"},
    )
    [finding] = [each for each in diagnose_pod(POD, on).findings if each.id == "node-cannot-freeze"]
    assert finding.remedy == remedies.KUBELET_FEATURE
    assert "does not offer checkpoints" in finding.message


def test_a_node_that_nothing_is_known_of() -> None:
    assert levels(diagnose_pod(POD, None).findings) == {"node-not-known": "problem"}


@pytest.mark.parametrize(("state", "found"), [("running", {"debug-session": "warning"}), ("terminated", {})])
def test_a_debugging_container_counts_while_it_runs(state: str, found: dict[str, str]) -> None:
    made = pod(ephemeralContainers=[{"name": "debugger", "targetContainerName": "app"}])
    made["status"]["ephemeralContainerStatuses"] = [{"name": "debugger", "state": {state: {}}}]
    assert of_pod(made) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"tty": True}, {"terminal": "warning"}),
        ({"securityContext": {"privileged": True}}, {"privileged": "warning", "io-uring": "warning"}),
        ({"resources": {"limits": {"nvidia.com/gpu": "1"}}}, {"gpu": "problem"}),
        ({"resources": {"limits": {"amd.com/gpu": "1", "cpu": "2"}}}, {"gpu": "problem"}),
        ({"resources": {"limits": {"nvidia.com/mig-1g.5gb": "1"}}}, {"gpu": "problem"}),
        ({"resources": {"limits": {"gpu.intel.com/i915": "1"}}}, {"gpu": "problem"}),
        ({"resources": {"requests": {"example.com/fpga": "1"}}}, {"device": "warning"}),
        ({"resources": {"claims": [{"name": "gpu"}]}}, {"device": "warning"}),
        ({"volumeDevices": [{"name": "disk", "devicePath": "/dev/xvda"}]}, {"device": "warning"}),
        ({"resources": {"limits": {"memory": "1Gi", "hugepages-2Mi": "1Gi", "attachable.kubernetes.io/x": "1"}}}, {}),
    ],
)
def test_rights_and_devices(fields: dict[str, Any], found: dict[str, str]) -> None:
    assert of_container(container(**fields)) == found


@pytest.mark.parametrize(
    ("profile", "runtime", "level"),
    [
        ({}, "containerd://2.1.9", "warning"),
        ({"seccompProfile": {"type": "Unconfined"}}, "containerd://2.1.9", "warning"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, "containerd://2.1.9", "ok"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, "containerd://1.7.27", "unknown"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, "cri-o://1.31.2", "unknown"),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}, "containerd://2.1.9", "unknown"),
    ],
)
@pytest.mark.parametrize("place", ["pod", "container"])
def test_io_uring_is_possible_where_no_filter_forbids_it(
    profile: dict[str, Any], runtime: str, level: str, place: str
) -> None:
    made = pod(securityContext=profile) if place == "pod" else container(securityContext=profile)
    if place == "container":
        made["spec"].pop("securityContext")
    [found] = diagnose_pod(made, node(container_runtime=runtime)).containers
    assert levels(found.findings)["io-uring"] == level


def test_the_containers_profile_wins_over_the_pods() -> None:
    assert of_container(container(securityContext={"seccompProfile": {"type": "Unconfined"}})) == {
        "io-uring": "warning"
    }


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, "ok"),
        ({"annotations": {"ksnap.dev/io-uring": "allow"}}, "warning"),
        ({"annotations": {"ksnap.dev/io-uring": "x"}}, "ok"),
    ],
)
def test_the_runtime_class_forbids_io_uring_unless_it_is_allowed(more: dict[str, Any], level: str) -> None:
    made = pod(runtimeClassName="ksnap", securityContext={})
    made["metadata"] |= more
    [found] = diagnose_pod(made, node()).containers
    assert levels(found.findings)["io-uring"] == level


def test_the_line_for_a_filter_is_a_pods() -> None:
    assert yaml.safe_load(remedies.SECCOMP_DEFAULT) == {
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}
    }


@pytest.mark.parametrize(
    ("volume", "found", "word"),
    [
        ({"emptyDir": {}}, "volume-empty", "an empty one"),
        ({"emptyDir": {"medium": "Memory"}}, "volume-empty", "an empty one"),
        ({"ephemeral": {"volumeClaimTemplate": {}}}, "volume-empty", "an empty one"),
        ({"hostPath": {"path": "/data"}}, "volume-of-node", "node finds what that has at /data"),
        ({"persistentVolumeClaim": {"claimName": "db"}}, "volume-claim", "the same claim, db"),
        ({"nfs": {"server": "s", "path": "/"}}, "volume-other", "mounts it anew"),
        ({"configMap": {"name": "c"}}, "", ""),
        ({"secret": {"secretName": "s"}}, "", ""),
        ({"projected": {"sources": []}}, "", ""),
        ({"downwardAPI": {}}, "", ""),
    ],
)
def test_each_kind_of_volume_says_what_becomes_of_it(volume: dict[str, Any], found: str, word: str) -> None:
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]
    made = container(volumeMounts=mounts)
    made["spec"]["volumes"] = [{"name": "v", **volume}, {"name": "not-mounted", "emptyDir": {}}]
    assert of_container(made) == ({found: "warning"} if found else {})
    if found:
        [message] = messages(diagnose_pod(made, node()), found)
        assert message.startswith("Volume v (/a, /b)")
        assert word in message


@pytest.mark.parametrize(("mode", "found"), [("None", {}), ("HostToContainer", {"mount-propagation": "warning"})])
def test_a_mount_that_is_shared_with_the_node(mode: str, found: dict[str, str]) -> None:
    made = container(volumeMounts=[{"name": "c", "mountPath": "/c", "mountPropagation": mode}])
    made["spec"]["volumes"] = [{"name": "c", "configMap": {}}]
    assert of_container(made) == found


def test_connections_are_the_nodes_option_or_the_runtime_classs() -> None:
    without = node(criu_options=[])
    assert of_container(POD, without) == {"tcp-connections": "warning"}
    [finding] = [each for each in diagnose_pod(POD, without).all_findings if each.id == "tcp-connections"]
    assert "criu.tcpClose=true" in finding.remedy
    assert of_container(pod(runtimeClassName="ksnap"), without) == {}


def test_each_container_is_told_of_by_name() -> None:
    made = pod(containers=[{"name": "app"}, {"name": "side", "tty": True}])
    diagnosis = diagnose_pod(made, node())
    assert [each.name for each in diagnosis.containers] == ["app", "side"]
    assert "terminal" not in levels(diagnosis.containers[0].findings)
    assert levels(diagnosis.containers[1].findings)["container-not-running"] == "problem"
