"""A pod's one word: kubectl's rules (`printPod`), with the Dashboard's spelling."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.pod_status import container_state, is_ready_or_succeeded, standing, status_text
from ksnap.dashboard.kinds.pod_wire import PodSpec, PodStatus, State


def read(status: dict[str, Any], init: list[dict[str, Any]] | None = None) -> tuple[PodSpec, PodStatus]:
    return msgspec.convert({"initContainers": init or []}, PodSpec), msgspec.convert(status, PodStatus)


def container(name: str = "c", *, ready: bool = False, started: bool = False, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "started": started, "state": state}


def ended(code: int, reason: str = "", signal: int = 0) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal}}


READY = {"type": "Ready", "status": "True"}
RUNNING: dict[str, Any] = {"running": {}}


@pytest.mark.parametrize(
    ("status", "init", "expected"),
    [
        ({"phase": "Pending"}, [], "Pending"),
        ({"phase": "Failed", "reason": "Evicted"}, [], "Evicted"),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            [],
            "SchedulingGated",
        ),
        ({"phase": "Running", "containerStatuses": [container(ready=True, **RUNNING)]}, [], "Running"),
        (
            {"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ContainerCreating"})]},
            [],
            "ContainerCreating",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container("a", waiting={"reason": "CrashLoopBackOff"}),
                    container("b", waiting={"reason": "ImagePullBackOff"}),
                ],
            },
            [],
            "CrashLoopBackOff",
        ),
        ({"phase": "Failed", "containerStatuses": [container(**ended(1, "Error"))]}, [], "Error"),
        ({"phase": "Failed", "containerStatuses": [container(**ended(3))]}, [], "ExitCode: 3"),
        ({"phase": "Failed", "containerStatuses": [container(**ended(137, signal=9))]}, [], "Signal: 9"),
        ({"phase": "Succeeded", "containerStatuses": [container(**ended(0, "Completed"))]}, [], "Completed"),
        (
            {
                "phase": "Running",
                "conditions": [READY],
                "containerStatuses": [container("a", **ended(0, "Completed")), container("b", ready=True, **RUNNING)],
            },
            [],
            "Running",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [container("a", **ended(0, "Completed")), container("b", ready=True, **RUNNING)],
            },
            [],
            "NotReady",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", **RUNNING), container("j")]},
            [{"name": "i"}, {"name": "j"}],
            "Init: 0/2",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [container("i", **ended(0, "Completed")), container("j", **RUNNING)],
                "containerStatuses": [container(waiting={"reason": "PodInitializing"})],
            },
            [{"name": "i"}, {"name": "j"}],
            "Init: 1/2",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", **ended(1, "Error"))]},
            [{"name": "i"}],
            "Init:Error",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", **ended(2))]},
            [{"name": "i"}],
            "Init: ExitCode 2",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", **ended(137, signal=9))]},
            [{"name": "i"}],
            "Init: Signal 9",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", waiting={"reason": "ImagePullBackOff"})]},
            [{"name": "i"}],
            "Init: ImagePullBackOff",
        ),
        (
            {
                "phase": "Running",
                "initContainerStatuses": [container("i", started=True, **RUNNING)],
                "containerStatuses": [container(ready=True, **RUNNING)],
            },
            [{"name": "i", "restartPolicy": "Always"}],
            "Running",
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Initialized", "status": "True"}],
                "initContainerStatuses": [container("i", **RUNNING)],
                "containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"})],
            },
            [{"name": "i"}],
            "CrashLoopBackOff",
        ),
    ],
)
def test_the_word(status: dict[str, Any], init: list[dict[str, Any]], expected: str) -> None:
    assert status_text(*read(status, init), deleted=False) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running"}, "Terminating"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
        ({"phase": "Succeeded", "containerStatuses": [container(**ended(0, "Completed"))]}, "Completed"),
    ],
)
def test_deleted(status: dict[str, Any], expected: str) -> None:
    assert status_text(*read(status), deleted=True) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"waiting": {"reason": "x"}}, "Waiting"),
        ({"running": {}}, "Running"),
        ({"terminated": {"exitCode": 0}}, "Terminated"),
        ({"terminated": {"exitCode": 1}}, "Failed"),
        ({"terminated": {"exitCode": -1073741510}}, "Failed"),
        ({}, "Unknown"),
    ],
)
def test_states_of_containers(state: dict[str, Any], expected: str) -> None:
    assert container_state(msgspec.convert(state, State)) == expected


@pytest.mark.parametrize(
    ("phase", "conditions", "deleted", "expected"),
    [
        ("Running", {"Ready": "True", "Initialized": "True"}, False, "running"),
        ("Running", {"Ready": "True", "Initialized": "True"}, True, "running"),
        ("Running", {"Ready": "False", "Initialized": "True"}, False, "pending"),
        ("Running", {"Ready": "False", "Initialized": "True"}, True, "terminating"),
        ("Pending", {}, False, "pending"),
        ("Failed", {}, True, "failed"),
        ("Succeeded", {}, True, "succeeded"),
    ],
)
def test_where_it_is_counted(phase: str, conditions: dict[str, str], deleted: bool, expected: str) -> None:  # noqa: FBT001
    listed = [{"type": name, "status": value} for name, value in conditions.items()]
    _, status = read({"phase": phase, "conditions": listed})
    assert standing(status, deleted=deleted) == expected


def test_whose_warnings_are_history() -> None:
    def of(phase: str, ready: str) -> bool:
        return is_ready_or_succeeded(read({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]})[1])

    assert (of("Succeeded", "False"), of("Running", "True"), of("Running", "False")) == (True, True, False)
    assert (of("Pending", "True"), of("Failed", "False")) == (False, False)
    assert is_ready_or_succeeded(read({"phase": "Running"})[1])
