"""Restoring on the real cluster: the token that a process made in memory tells it from a cold start."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, pair_pod, user1000_pod, webapp_pod
from dev.stack.agents import NAMESPACE
from ksnap.model.image import parse_image
from ksnap.node.protocol import AGENT_SELECTOR
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from tests.cluster.snap import PLAIN, PUSHING, Snap, open_snap
from tests.cluster.test_agent import access_to

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


@pytest.fixture
def room(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def secrets_in(kubectl: Kubectl, namespace: str) -> list[str]:
    found = json.loads(kubectl("get", "secrets", f"--namespace={namespace}", "--output=json"))
    return [each["metadata"]["name"] for each in found["items"]]


def pods_in(kubectl: Kubectl, namespace: str) -> list[str]:
    found = json.loads(kubectl("get", "pods", f"--namespace={namespace}", "--output=json"))
    return [each["metadata"]["name"] for each in found["items"] if not each["metadata"].get("deletionTimestamp")]


async def restored(snap: Snap, frozen: dict[str, Any], pod: str, **fields: object) -> dict[str, Any]:
    body = {"pod_name": pod, "node_name": "node2", "engine": "image", **fields}
    return await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)


@pytest.mark.parametrize("memory_mb", [64, pytest.param(1024, marks=pytest.mark.thorough)])
async def test_a_process_goes_on_on_another_node(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str, memory_mb: int
) -> None:
    pod = webapp_pod("web", room, cluster.images["webapp"], node="node1", memory_mb=memory_mb, start_s=1)
    kubectl.apply(pod)
    kubectl.wait_ready(room, "web", timeout_s=120)
    source = kubectl.fetch(room, "web")
    frozen = await snap.freeze(room, "web")
    result = await restored(snap, frozen, "copy")
    assert (result["restored"], result["node_name"]) == (True, "node2")
    assert [each["restored"] for each in result["containers"]] == [True]
    assert result["containers"][0]["runtime_says_restored"] is True
    assert result["timings"]["ready_at"]
    copy = kubectl.fetch(room, "copy")
    assert copy["token"] == source["token"]
    assert copy["requests"] > source["requests"]
    assert kubectl.fetch(room, "web")["token"] == source["token"], "the source goes on"
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


async def test_pull_credentials_go_with_the_pod(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str) -> None:
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    frozen = await snap.freeze(room, "count")
    result = await restored(snap, frozen, "copy")
    assert result["restored"] is True
    (name,) = secrets_in(kubectl, room)
    owners = kubectl.get(room, "secret", name)["metadata"]["ownerReferences"]
    assert [(each["kind"], each["name"], each["uid"]) for each in owners] == [("Pod", "copy", result["pod_uid"])]
    kubectl("delete", "pod", "copy", f"--namespace={room}", "--wait=true", timeout_s=60)
    kubectl("wait", f"secret/{name}", f"--namespace={room}", "--for=delete", "--timeout=60s", timeout_s=70)


async def test_two_containers_each_from_its_own_image(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    kubectl.apply(pair_pod("pair", room, cluster.images["webapp"], node="node1", start_s=0))
    kubectl.wait_ready(room, "pair", timeout_s=120)
    tokens = {port: kubectl.fetch(room, "pair", port=port)["token"] for port in (8080, 8081)}
    front = await snap.freeze(room, "pair", container_name="front")
    back = await snap.freeze(room, "pair", container_name="back")
    result = await restored(snap, front, "copy", checkpoint_ids=[back["checkpoint_id"]])
    assert result["restored"] is True
    assert {each["container"] for each in result["containers"]} == {"front", "back"}
    assert {port: kubectl.fetch(room, "copy", port=port)["token"] for port in tokens} == tokens


async def test_a_process_of_another_user_is_restored(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    kubectl.apply(user1000_pod("user", room, cluster.images["webapp"], node="node1", start_s=0))
    kubectl.wait_ready(room, "user", timeout_s=120)
    source = kubectl.fetch(room, "user")
    result = await restored(snap, await snap.freeze(room, "user"), "copy")
    assert result["restored"] is True
    assert kubectl.fetch(room, "copy")["token"] == source["token"]


async def test_what_cannot_be_restored_is_refused(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    frozen = await snap.freeze(room, "count")
    unpushed = await snap.freeze(room, "count", cluster=PLAIN)
    path = f"/checkpoint/{frozen['checkpoint_id']}/restore"
    for body, status, code in (
        ({"pod_name": "count"}, 409, "ALREADY_EXISTS"),
        ({"pod_name": "copy", "node_name": "unknown"}, 404, "NOT_FOUND"),
        # Its containerd restores nothing.
        ({"pod_name": "copy", "node_name": "node1", "engine": "image"}, 409, "CONFLICT"),
        # Bound to that node by its own selector.
        ({"pod_name": "copy", "engine": "image"}, 409, "CONFLICT"),
        ({"pod_name": "copy", "cluster_name": "unknown"}, 404, "CLUSTER_NOT_FOUND"),
        ({"pod_name": "copy", "checkpoint_ids": [unpushed["checkpoint_id"]]}, 409, "CONFLICT"),
        ({"pod_name": "copy", "checkpoint_ids": ["0" * 20]}, 404, "NOT_FOUND"),
        ({"pod_name": "../copy"}, 422, "VALIDATION_ERROR"),
        ({"pod_name": "copy", "timeout_s": 0}, 422, "VALIDATION_ERROR"),
    ):
        refused = await snap.call("POST", path, body)
        assert (refused.status, refused.code) == (status, code), body
    unpushed_path = f"/checkpoint/{unpushed['checkpoint_id']}/restore"
    refused = await snap.call("POST", unpushed_path, {"pod_name": "copy"})
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert "Push it first" in refused.details
    assert pods_in(kubectl, room) == ["count"]
    assert secrets_in(kubectl, room) == []


async def test_a_node_without_an_agent_is_no_choice(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    frozen = await snap.freeze(room, "count")
    path = f"/checkpoint/{frozen['checkpoint_id']}/restore"
    await snap.ok("GET", f"/cluster/status/{PUSHING}")
    with agents_nowhere(kubectl):
        for node in (None, "node2"):
            refused = await snap.call("POST", path, {"pod_name": "copy", "node_name": node})
            assert (refused.status, refused.code) == (409, "CONFLICT")
        assert pods_in(kubectl, room) == ["count"]
        assert secrets_in(kubectl, room) == []


async def test_a_failed_restore_leaves_nothing_unless_it_is_to_be_kept(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    """The image is taken out of the registry behind the server's back."""
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    first, second = await snap.freeze(room, "count"), await snap.freeze(room, "count")
    image, digest = await snap.image_of(second["checkpoint_id"])
    await remove_manifest(snap, image, digest)
    path = f"/checkpoint/{second['checkpoint_id']}/restore"
    body = {"node_name": "node2", "engine": "image", "timeout_s": 120}
    failed = await snap.call("POST", path, body | {"pod_name": "copy"})
    assert (failed.status, failed.code) == (502, "RESTORE_FAILED"), failed
    assert "ImagePullBackOff" in failed.details
    assert pods_in(kubectl, room) == ["count"]
    assert secrets_in(kubectl, room) == []
    kept = await snap.call("POST", path, body | {"pod_name": "kept", "keep_failed": True})
    assert kept.code == "RESTORE_FAILED"
    assert pods_in(kubectl, room) == ["count", "kept"]
    await snap.ok("DELETE", f"/checkpoint/{first['checkpoint_id']}")


async def test_a_refused_pod_leaves_no_credentials_even_if_it_was_to_be_kept(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    frozen = await snap.freeze(room, "count")
    kubectl("label", "namespace", room, "pod-security.kubernetes.io/enforce=restricted")
    body = {"pod_name": "kept", "keep_failed": True, "engine": "image", "node_name": "node2"}
    refused = await snap.call("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)
    assert "PodSecurity" in refused.details, refused
    assert pods_in(kubectl, room) == ["count"]
    assert secrets_in(kubectl, room) == []


async def test_no_daemon_set_takes_a_copy_of_its_pod(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str
) -> None:
    """Its selector is any label of the author's; with two pods on a node it would delete one of them."""
    labels = {"app.kubernetes.io/name": "count"}
    pod = counter_pod("count", room, cluster.images["counter"], node="node2")
    template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
    daemonset = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "count", "namespace": room},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    kubectl.apply(daemonset)
    kubectl("rollout", "status", "daemonset/count", f"--namespace={room}", "--timeout=60s", timeout_s=70)
    (source,) = pods_in(kubectl, room)
    result = await restored(snap, await snap.freeze(room, source), "copy")
    assert result["restored"] is True
    assert pods_in(kubectl, room) == sorted(["copy", source])
    assert "ownerReferences" not in kubectl.get(room, "pod", "copy")["metadata"]


async def test_a_restore_is_cancelled(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, room: str) -> None:
    kubectl.apply(counter_pod("count", room, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(room, "count")
    frozen = await snap.freeze(room, "count")
    image, digest = await snap.image_of(frozen["checkpoint_id"])
    await remove_manifest(snap, image, digest)
    body = {"pod_name": "copy", "engine": "image", "node_name": "node2"}
    begun = await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body, wait="false")
    await snap.stage(begun["job_id"], "starting")
    job = await snap.ok("POST", f"/jobs/{begun['job_id']}/cancel")
    assert job["status"] == "cancelled"
    assert pods_in(kubectl, room) == ["count"]
    assert secrets_in(kubectl, room) == []


@contextmanager
def agents_nowhere(kubectl: Kubectl) -> Iterator[None]:
    """The agents' pods are gone, their last reports are still known."""
    daemonset, where = "daemonset/ksnap-agent", f"--namespace={NAMESPACE}"
    selector = "ksnap.dev/nowhere"

    def select(value: str | None) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": {selector: value}}}}}
        kubectl("patch", daemonset, where, "--type=merge", f"--patch={json.dumps(patch)}")

    select("yes")
    try:
        pods = f"--selector={AGENT_SELECTOR}"
        kubectl("wait", "pod", where, pods, "--for=delete", "--timeout=100s", timeout_s=110)
        yield
    finally:
        select(None)
        kubectl("rollout", "status", daemonset, where, "--timeout=120s", timeout_s=130)


async def remove_manifest(snap: Snap, image: str, digest: str) -> None:
    async with open_registry(access_to(snap.cluster)) as client:
        await Manifests(client, parse_image(image).repository).delete(digest)
