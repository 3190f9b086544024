"""A pod's hooks on the real cluster: run in its container, proven by what the process and its files show afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from tests.cluster.snap import PLAIN, PUSHING, Snap, open_snap
from tests.server.client import Answer

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

SOURCE, TARGET = "node1", "node2"
ASK = "wget -q -O /dev/null http://127.0.0.1:8080/"
"""Changes the web app's memory: it counts."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


def start(kubectl: Kubectl, cluster: ClusterInfo, namespace: str, **hooks: str) -> None:
    """The web app with hooks; in their names `_` stands for `-`, and `__` for the dot."""
    names = {name: name.replace("__", ".").replace("_", "-") for name in hooks}
    annotations = {f"hooks.ksnap.dev/{names[name]}": value for name, value in hooks.items()}
    image = cluster.images["webapp"]
    kubectl.apply(webapp_pod("web", namespace, image, node=SOURCE, start_s=0, annotations=annotations))
    kubectl.wait_ready(namespace, "web", timeout_s=120)


async def refused(snap: Snap, namespace: str, cluster: str = PLAIN) -> Answer:
    body = {"pod_name": "web", "namespace": namespace, "cluster_name": cluster}
    return await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)


async def restore(snap: Snap, frozen: dict[str, Any]) -> Answer:
    body = {"pod_name": "copy", "node_name": TARGET, "engine": "image"}
    return await snap.call("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)


async def events_of(snap: Snap, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await snap.ok("GET", f"/jobs/{job_id}/events", after=0, wait_s=0))["events"]
    return found


async def newest_job(snap: Snap, namespace: str) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = (await snap.ok("GET", "/jobs"))["jobs"]
    return next(each for each in jobs if each["namespace"] == namespace)


def pods_in(kubectl: Kubectl, namespace: str) -> list[str]:
    found = json.loads(kubectl("get", "pods", f"--namespace={namespace}", "--output=json"))
    return [each["metadata"]["name"] for each in found["items"] if not each["metadata"].get("deletionTimestamp")]


async def test_the_frozen_process_has_met_its_hook_and_the_restored_one_its_own(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    after = f"{ASK} && echo ran >> /after"
    start(kubectl, cluster, namespace, before_freeze=f"{ASK} && {ASK}", after_restore__webapp=after)
    source = kubectl.fetch(namespace, "web")
    frozen = await snap.freeze(namespace, "web")
    restored = await restore(snap, frozen)
    assert restored.body["restored"] is True, restored
    copy = kubectl.fetch(namespace, "copy")
    assert copy["token"] == source["token"]
    assert copy["requests"] == source["requests"] + 2 + 1 + 1, "two before the freeze, one after the restore, and ours"
    assert kubectl.exec(namespace, "copy", ["cat", "/after"]) == "ran\n"
    assert kubectl.fetch(namespace, "web")["requests"] == source["requests"] + 2 + 1, "the source goes on"
    assert (await events_of(snap, frozen["job_id"]))[0]["stage"] == "hook"
    stages = [each["stage"] for each in await events_of(snap, (await newest_job(snap, namespace))["id"])]
    assert stages.index("starting") < stages.index("hook") < stages.index("proving")
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


async def test_a_pod_without_hooks_has_no_such_step(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace)
    frozen = await snap.freeze(namespace, "web", cluster=PLAIN)
    assert "hook" not in {each["stage"] for each in await events_of(snap, frozen["job_id"])}
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


async def test_a_failing_hook_fails_the_freeze_and_the_pod_runs_on(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze="echo no room >&2; exit 3")
    source = kubectl.fetch(namespace, "web")
    answer = await refused(snap, namespace)
    assert (answer.status, answer.code) == (502, "CHECKPOINT_FAILED")
    assert "before-freeze in container webapp" in answer.details
    assert "exit code 3" in answer.details
    assert "no room" in answer.details
    again = kubectl.fetch(namespace, "web")
    assert (again["token"], again["requests"]) == (source["token"], source["requests"] + 1)
    assert snap.archives_on(SOURCE, namespace) == []
    job = await newest_job(snap, namespace)
    assert (job["status"], job["error"]["output"]) == ("failed", "no room")
    events = await events_of(snap, job["id"])
    assert [each["stage"] for each in events] == ["hook", "failed"]
    assert "no room" not in json.dumps(events)
    kubectl("annotate", "pod", "web", f"--namespace={namespace}", "hooks.ksnap.dev/before-freeze-on-failure=ignore")
    frozen = await snap.freeze(namespace, "web", cluster=PLAIN)
    told = [each["message"] for each in await events_of(snap, frozen["job_id"]) if each["stage"] == "hook"]
    assert "exit code 3" in told[-1]
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


async def test_a_program_that_is_not_there_is_told(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze='["/no/such/program"]')
    answer = await refused(snap, namespace)
    assert (answer.status, answer.code) == (502, "CHECKPOINT_FAILED")
    assert "/no/such/program" in answer.details


async def test_a_hook_that_hangs_is_left_at_its_time(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze="exec sleep 300", before_freeze_timeout="2")
    began = asyncio.get_running_loop().time()
    answer = await refused(snap, namespace)
    assert asyncio.get_running_loop().time() - began < 60
    assert (answer.status, answer.code) == (502, "CHECKPOINT_FAILED")
    assert "no end after 2 s" in answer.details
    assert kubectl.fetch(namespace, "web")["token"]


async def test_a_job_is_cancelled_in_its_hook(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze="exec sleep 300", before_freeze_timeout="120")
    job_id, _ = await snap.begin(namespace, "web", cluster=PLAIN)
    await snap.stage(job_id, "hook")
    job = await snap.ok("POST", f"/jobs/{job_id}/cancel")
    assert job["status"] == "cancelled"
    assert snap.archives_on(SOURCE, namespace) == []


async def test_a_killed_server_repeats_the_hook(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze="echo begun >> /begun; sleep 5", before_freeze_timeout="60")
    job_id, checkpoint_id = await snap.begin(namespace, "web", cluster=PLAIN)
    await snap.stage(job_id, "hook")
    async with asyncio.timeout(60):
        while "begun" not in kubectl.exec(namespace, "web", ["/bin/sh", "-c", "cat /begun || true"]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await snap.kill()
    await snap.start()
    job = await snap.ended(job_id)
    assert job["status"] == "completed", job["error"]
    assert kubectl.exec(namespace, "web", ["cat", "/begun"]) == "begun\n" * 2
    await snap.ok("DELETE", f"/checkpoint/{checkpoint_id}")


async def test_a_restore_whose_hook_fails_is_undone(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, after_restore="echo no seed >&2; exit 4")
    frozen = await snap.freeze(namespace, "web", cluster=PUSHING)
    answer = await restore(snap, frozen)
    assert (answer.status, answer.code) == (502, "RESTORE_FAILED")
    assert "exit code 4" in answer.details
    assert "no seed" in answer.details
    assert pods_in(kubectl, namespace) == ["web"]
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


@pytest.mark.parametrize(
    "hooks", [{"before_freez": "true"}, {"after_restore_timeout": "1h"}, {"before_freeze": "[ -f /x ]"}]
)
async def test_a_wrong_annotation_is_refused_at_once(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, hooks: dict[str, str]
) -> None:
    start(kubectl, cluster, namespace, **hooks)
    answer = await refused(snap, namespace)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert "annotation hooks.ksnap.dev/" in answer.details
    assert namespace not in {each["namespace"] for each in (await snap.ok("GET", "/jobs"))["jobs"]}


async def test_an_account_that_may_run_nothing_is_told_the_charts_value(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    start(kubectl, cluster, namespace, before_freeze="true")
    where = f"--namespace={namespace}"
    kubectl("create", "serviceaccount", "reader", where)
    kubectl("create", "rolebinding", "reader", where, "--clusterrole=view", f"--serviceaccount={namespace}:reader")
    token = kubectl("create", "token", "reader", where).strip()
    body = {"name": namespace, "api_server_url": cluster.api_server, "auth_type": "token", "token": token}
    await snap.ok("POST", "/config/clusters/create", body | {"ca_cert": cluster.ca_file.read_text()})
    answer = await refused(snap, namespace, cluster=namespace)
    assert (answer.status, answer.code) == (502, "CLUSTER_CONNECTION_FAILED")
    assert "hooks.enabled=true" in answer.details
