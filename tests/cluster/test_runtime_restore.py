"""Restore below the container runtime: on a containerd without a restore of its own, and on one with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, pair_pod, user1000_pod, webapp_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


async def restored(snap: Snap, frozen: dict[str, Any], pod: str, node: str, **fields: object) -> dict[str, Any]:
    body = {"pod_name": pod, "node_name": node, "engine": "runtime", **fields}
    return await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)


def events_of(kubectl: Kubectl, namespace: str, pod: str) -> dict[str, str]:
    """Reason -> message."""
    selector = f"--field-selector=involvedObject.name={pod}"
    found = json.loads(kubectl("get", "events", f"--namespace={namespace}", selector, "--output=json"))
    return {each["reason"]: each["message"] for each in found["items"]}


async def condition_of(kubectl: Kubectl, namespace: str, pod: str, container: str) -> dict[str, str]:
    """Told behind the event, by a call of its own."""
    async with asyncio.timeout(30):
        while True:
            conditions = kubectl.get(namespace, "pod", pod)["status"]["conditions"]
            named = {each["type"]: each for each in conditions}
            found: dict[str, str] | None = named.get(f"restored.ksnap.dev/{container}")
            if found is not None:
                return found
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("way", [("node1", "node2"), ("node2", "node1")], ids="to".join)
async def test_a_process_goes_on_with_its_own_image(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, way: tuple[str, str]
) -> None:
    source, target = way
    image = cluster.images["webapp"]
    kubectl.apply(webapp_pod("web", namespace, image, node=source, start_s=1))
    kubectl.wait_ready(namespace, "web", timeout_s=120)
    before = kubectl.fetch(namespace, "web")
    frozen = await snap.freeze(namespace, "web")
    result = await restored(snap, frozen, "copy", target)
    assert (result["restored"], result["engine"], result["node_name"]) == (True, "runtime", target), result
    copy = kubectl.get(namespace, "pod", "copy")
    assert [each["image"] for each in copy["spec"]["containers"]] == [image]
    assert "imagePullSecrets" not in copy["spec"]
    after = kubectl.fetch(namespace, "copy")
    assert (after["token"], after["requests"] > before["requests"]) == (before["token"], True)
    assert kubectl.fetch(namespace, "web")["token"] == before["token"], "the source goes on"
    assert "Restored webapp in" in events_of(kubectl, namespace, "copy")["Restored"]
    assert (await condition_of(kubectl, namespace, "copy", "webapp"))["status"] == "True"
    where = f"--namespace={namespace}"
    asked = ("exec", where, "copy", "--", "python3", "-c", "import os; print(os.environ['MEMORY_MB'])")
    assert kubectl(*asked).strip() == "64"
    assert "GET /" in kubectl("logs", where, "copy"), "what it writes now is in the new pod's log"
    again = await snap.freeze(namespace, "copy")
    twice = await restored(snap, again, "again", source)
    assert twice["restored"] is True, "a restored pod is frozen and restored like any other"
    assert kubectl.fetch(namespace, "again")["token"] == before["token"]


async def test_it_is_told_where_an_image_lies(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(namespace, "count")
    frozen = await snap.freeze(namespace, "count")
    path = f"/checkpoint/{frozen['checkpoint_id']}"

    async def images(method: str, word: str) -> dict[str, tuple[str, int]]:
        told = await snap.ok(method, f"{path}/{word}")
        return {each["node_name"]: (each["status"], each["failures"]) for each in told["nodes"]}

    assert await images("GET", "nodes") == {"node1": ("absent", 0), "node2": ("absent", 0)}
    await restored(snap, frozen, "copy", "node2")
    assert await images("GET", "nodes") == {"node1": ("absent", 0), "node2": ("ready", 0)}
    assert await images("DELETE", "failures") == {"node1": ("absent", 0), "node2": ("ready", 0)}


async def test_one_container_is_restored_and_the_other_starts_cold(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(pair_pod("pair", namespace, cluster.images["webapp"], node="node1", start_s=0))
    kubectl.wait_ready(namespace, "pair", timeout_s=120)
    front, back = (kubectl.fetch(namespace, "pair", port=port)["token"] for port in (8080, 8081))
    result = await restored(snap, await snap.freeze(namespace, "pair", container_name="front"), "copy", "node2")
    assert result["restored"] is True
    assert kubectl.fetch(namespace, "copy", port=8080)["token"] == front
    assert kubectl.fetch(namespace, "copy", port=8081)["token"] != back


async def test_a_process_of_another_user_is_restored(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(user1000_pod("user", namespace, cluster.images["webapp"], node="node2", start_s=0))
    kubectl.wait_ready(namespace, "user", timeout_s=120)
    token = kubectl.fetch(namespace, "user")["token"]
    result = await restored(snap, await snap.freeze(namespace, "user"), "copy", "node1")
    assert result["restored"] is True, result
    assert kubectl.fetch(namespace, "copy")["token"] == token


async def test_an_annotation_is_only_a_wish(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> None:
    """A pod that nobody permitted the image to starts cold, and says why."""
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(namespace, "count")
    frozen = await snap.freeze(namespace, "count")
    await restored(snap, frozen, "copy", "node1")
    image, digest = await snap.image_of(frozen["checkpoint_id"])
    thief = counter_pod("thief", namespace, cluster.images["counter"], node="node1")
    repository = image.rpartition(":")[0]
    thief["metadata"]["annotations"] = {"restore.ksnap.dev/counter": f"{repository}@{digest}"}
    thief["spec"]["runtimeClassName"] = "ksnap"
    kubectl.apply(thief)
    kubectl.wait_ready(namespace, "thief")
    assert "NotPermitted" in events_of(kubectl, namespace, "thief")["StartedCold"]
    told = await condition_of(kubectl, namespace, "thief", "counter")
    assert (told["status"], told["reason"]) == ("False", "NotPermitted")


async def test_a_read_only_root_needs_no_tmp(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """The image of `pause` holds that program and nothing else."""
    pod = counter_pod("bare", namespace, cluster.images["pause"], node="node1")
    pod["spec"]["containers"][0]["securityContext"] = {"readOnlyRootFilesystem": True}
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "bare")
    result = await restored(snap, await snap.freeze(namespace, "bare"), "copy", "node2")
    assert result["restored"] is True, events_of(kubectl, namespace, "copy")
    assert "StartedCold" not in events_of(kubectl, namespace, "copy")


async def test_a_restored_container_sees_its_own_cgroup(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """In /sys/fs/cgroup, where a JVM and others look up how much memory they have; version 1 or 2."""
    pod = counter_pod("limited", namespace, cluster.images["counter"], node="node1")
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "96Mi"}, "requests": {"memory": "32Mi"}}
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "limited")
    result = await restored(snap, await snap.freeze(namespace, "limited"), "copy", "node2")
    assert result["restored"] is True, result
    read = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true"
    for name in ("limited", "copy"):
        assert kubectl.exec(namespace, name, ["sh", "-c", read]).strip() == str(96 << 20), name
