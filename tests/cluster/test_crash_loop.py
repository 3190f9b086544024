"""A process that is restored and cannot live with what it wakes up in: the kubelet's restarts end in a cold start."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

# It leaves a mark in a volume, which is not part of a checkpoint: in another pod the mark is missing, and a second
# after it is told to mind that, the program ends. A cold start leaves a mark of its own.
PROGRAM = """
import json, os, secrets, socket, sys, time
token = secrets.token_hex(8)
open(f"/scratch/{token}", "w").close()
while True:
    print(json.dumps({"token": token, "host": socket.gethostname()}), flush=True)
    if not os.path.exists(f"/scratch/{token}") and os.path.exists("/scratch/mind"):
        time.sleep(1)
        sys.exit(1)
    time.sleep(0.2)
"""
# AgentSettings.max_restore_failures.
LIMIT = 3
# The kubelet's pauses between restarts, 10 and 20 s, and as much again for a slow machine.
PATIENCE_S = 90.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


def fragile_pod(name: str, namespace: str, image: str, *, node: str) -> dict[str, Any]:
    pod = counter_pod(name, namespace, image, node=node)
    (container,) = pod["spec"]["containers"]
    container["command"] = ["python3", "-c", PROGRAM]
    container["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
    pod["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    return pod


def told(kubectl: Kubectl, namespace: str, pod: str) -> list[dict[str, str]]:
    """What the pod's newest container has said, but for a line that is being written."""
    lines = kubectl("logs", f"--namespace={namespace}", pod).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def status_of(kubectl: Kubectl, namespace: str, pod: str) -> tuple[int, bool]:
    """How often the container was restarted, and whether it runs."""
    (status,) = kubectl.get(namespace, "pod", pod)["status"]["containerStatuses"]
    return status["restartCount"], "running" in status["state"]


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


def events_of(kubectl: Kubectl, namespace: str, pod: str) -> list[dict[str, Any]]:
    selector = f"--field-selector=involvedObject.name={pod},reportingComponent=ksnap.dev/agent"
    return list(json.loads(kubectl("get", "events", f"--namespace={namespace}", selector, "--output=json"))["items"])


async def test_crash_loop_after_a_restore_ends_in_a_cold_start(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(fragile_pod("source", namespace, cluster.images["webapp"], node="node1"))
    kubectl.wait_ready(namespace, "source")
    frozen = await snap.freeze(namespace, "source")
    body = {"pod_name": "copy", "node_name": "node2", "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)
    assert result["restored"] is True, result
    token = told(kubectl, namespace, "source")[0]["token"]
    first = told(kubectl, namespace, "copy")[-1]
    assert first == {"token": token, "host": "source"}

    kubectl.exec(namespace, "copy", ["touch", "/scratch/mind"])
    await eventually(lambda: status_of(kubectl, namespace, "copy") == (LIMIT, True))
    await eventually(lambda: len(told(kubectl, namespace, "copy")) > 15)

    lines = told(kubectl, namespace, "copy")
    assert lines[0]["token"] != token, "it started cold"
    assert {each["host"] for each in lines} == {"copy"}, "the pod has its own name again"
    assert status_of(kubectl, namespace, "copy") == (LIMIT, True), "and it stays"
    events = events_of(kubectl, namespace, "copy")
    assert Counter(each["reason"] for each in events) == {
        "Restored": LIMIT,
        "CrashedAfterRestore": LIMIT,
        "StartedCold": 1,
    }
    messages = {each["reason"]: each["message"] for each in events}
    assert messages["StartedCold"].startswith("TooManyFailures: ")
    assert "ended by itself" in messages["CrashedAfterRestore"]
    assert told(kubectl, namespace, "source")[-1]["token"] == token, "the source goes on"
