"""Freezing, publishing, downloading and deleting on the real cluster, over the public API alone."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, pair_pod
from ksnap.model.image import parse_image
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from tests.cluster.snap import PLAIN, PUSHING, Snap, open_snap

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snap")


@pytest.fixture(scope="module")
def shared(kubectl: Kubectl, cluster: ClusterInfo) -> Iterator[str]:
    """A namespace with a counter on node1 and a pod of two containers on node2."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        kubectl.apply(counter_pod("count", name, cluster.images["counter"], node="node1"))
        kubectl.apply(pair_pod("pair", name, cluster.images["webapp"], node="node2", start_s=0))
        kubectl.wait_ready(name, "count", "pair", timeout_s=120)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, folder: Path) -> AsyncIterator[Snap]:
    async with open_snap(cluster, folder) as opened:
        yield opened


async def index_digest(cluster: ClusterInfo, image: str, reference: str) -> str | None:
    """What a registry of the cluster's has under a reference of an image's repository."""
    parsed = parse_image(image)
    registry = next(each for each in cluster.registries.values() if each.host == parsed.host)
    access = RegistryAccess(
        host=registry.host,
        username=registry.username,
        password=SecretStr(registry.password()),
        ca_cert=registry.ca_file.read_text(),
    )
    async with open_registry(access) as client:
        return await Manifests(client, parsed.repository).head(reference)


async def test_a_frozen_container_goes_on_and_its_archive_is_kept(snap: Snap, kubectl: Kubectl, shared: str) -> None:
    before = kubectl.get(shared, "pod", "count")
    frozen = await snap.freeze(shared, "count", cluster=PLAIN)
    after = kubectl.get(shared, "pod", "count")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert frozen["success"] is True
    assert frozen["pod_id"] == before["metadata"]["uid"]
    assert frozen["container_ids"] == [before["status"]["containerStatuses"][0]["containerID"]]
    assert frozen["checkpoint_path"].endswith("/" + frozen["filename"])
    assert snap.archives_on("node1", shared) == []
    assert snap.blobs().count(f"{frozen['checkpoint_id']}.tar.zst") == 1


async def test_a_checkpoint_is_listed_as_the_contract_says(snap: Snap, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PLAIN)
    listed = (await snap.ok("GET", "/checkpoint/list", namespace=shared, pod_name="count"))["checkpoints"]
    entry = listed[0]
    assert entry["id"] == frozen["checkpoint_id"], "newest first"
    assert entry["status"] == "completed"
    assert entry["size"].endswith("MB")
    assert (entry["node_name"], entry["cluster_name"], entry["container_name"]) == ("node1", PLAIN, "counter")
    assert (await snap.ok("GET", "/checkpoint/list", namespace=shared, limit=1))["checkpoints"] == [entry]
    assert (await snap.ok("GET", "/checkpoint/list", namespace=shared, status="failed"))["checkpoints"] == []


async def test_freeze_and_push_in_one_call(snap: Snap, cluster: ClusterInfo, shared: str) -> None:
    body = {"namespace": shared, "cluster": PUSHING}
    pushed = await snap.ok(
        "POST", "/checkpoint/kubelet/checkpoint-and-push", body, pod_name="count", checkpoint_config_name="default"
    )
    assert pushed["image_tag"].startswith(cluster.registries["private"].host + "/snap-tests/")
    assert pushed["push_result"]["image_tag"] == pushed["image_tag"]
    assert pushed["checkpoint_result"]["checkpoint_id"] == pushed["checkpoint_id"]
    tag = pushed["image_tag"].rpartition(":")[2]
    assert await index_digest(cluster, pushed["image_tag"], tag) == pushed["digest"]
    assert snap.archives_on("node1", shared) == []


async def test_an_image_gets_the_name_that_was_asked_for(snap: Snap, cluster: ClusterInfo, shared: str) -> None:
    body = {"namespace": shared, "cluster": PLAIN, "registry": "open", "image_name": f"mine/{shared}", "tag": "v1"}
    # The body's registry wins over the query's, and a tag that is there is overwritten.
    query = {"pod_name": "count", "checkpoint_config_name": "private"}
    digests = []
    for _ in range(2):
        pushed = await snap.ok("POST", "/checkpoint/kubelet/checkpoint-and-push", body, **query)
        assert pushed["image_tag"] == f"{cluster.registries['open'].host}/mine/{shared}:v1"
        digests.append(pushed["digest"])
    assert digests[0] != digests[1]


async def test_a_download_is_the_archive_from_either_place(snap: Snap, cluster: ClusterInfo, shared: str) -> None:
    for place in (PLAIN, PUSHING):
        frozen = await snap.freeze(shared, "count", cluster=place)
        data, headers = await download(snap, frozen)
        assert len(data) == frozen["size_bytes"] == int(headers["Content-Length"])
        assert headers["ETag"] == f'"sha256:{hashlib.sha256(data).hexdigest()}"'
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Disposition"] == f'attachment; filename="{frozen["filename"]}"'
        name = f"/root/{frozen['filename']}"
        inside = cluster.node("node1").path(name)
        inside.write_bytes(data)
        try:
            shown = node_exec(cluster.node("node1"), ["checkpointctl", "show", name])
            inspected = node_exec(cluster.node("node1"), ["checkpointctl", "inspect", name])
        finally:
            inside.unlink()
        assert "counter" in shown
        assert "counter" in inspected


async def test_parts_of_a_download(snap: Snap, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PLAIN)
    data, headers = await download(snap, frozen)
    part, answered = await download(snap, frozen, Range="bytes=1000000-1000099")
    assert part == data[1_000_000:1_000_100]
    assert answered["Content-Range"] == f"bytes 1000000-1000099/{len(data)}"
    assert (await download(snap, frozen, Range="bytes=-7"))[0] == data[-7:]
    assert (await download(snap, frozen, Range="bytes=0-9", If_Range='"other"'))[0] == data
    assert (await download(snap, frozen, status=304, If_None_Match=headers["ETag"]))[0] == b""
    _, beyond = await download(snap, frozen, status=416, Range=f"bytes={len(data)}-")
    assert beyond["Content-Range"] == f"bytes */{len(data)}"


async def download(
    snap: Snap, frozen: dict[str, Any], *, status: int = 0, **headers: str
) -> tuple[bytes, Mapping[str, str]]:
    assert snap._client is not None
    path = f"/checkpoint/download/count/{frozen['filename']}"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with snap._client.session.get(path, headers=sent, params={"id": frozen["checkpoint_id"]}) as response:
        expected = status or (206 if "Range" in headers and "If_Range" not in headers else 200)
        assert response.status == expected, await response.text()
        return await response.read(), response.headers.copy()


async def test_a_stored_checkpoint_is_pushed_again_and_again_with_one_digest(snap: Snap, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PLAIN)
    body = {"pod_name": "count", "checkpoint_name": frozen["filename"], "checkpoint_config_name": "open"}
    first = await snap.ok("POST", "/registry/create_and_push_checkpoint_container", body)
    again = await snap.ok("POST", "/registry/create_and_push_checkpoint_container", body)
    assert (first["digest"], first["image_tag"]) == (again["digest"], again["image_tag"])
    assert first["checkpoint_id"] == frozen["checkpoint_id"]


async def test_an_image_is_copied_to_another_registry_as_it_is(snap: Snap, cluster: ClusterInfo, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PUSHING)
    _, digest = await snap.image_of(frozen["checkpoint_id"])
    body = {"pod_name": "count", "checkpoint_name": frozen["checkpoint_id"], "checkpoint_config_name": "open"}
    copied = await snap.ok("POST", "/registry/create_and_push_checkpoint_container", body)
    assert copied["digest"] == digest
    assert await index_digest(cluster, copied["image_tag"], digest) == digest


async def test_a_name_that_names_no_checkpoint_becomes_the_images(snap: Snap, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PLAIN)
    name = f"test-app-{shared}"
    body = {"pod_name": "count", "checkpoint_name": name, "checkpoint_config_name": "open"}
    pushed = await snap.ok("POST", "/registry/create_and_push_checkpoint_container", body)
    assert pushed["checkpoint_id"] == frozen["checkpoint_id"], "the newest"
    assert pushed["image_tag"].endswith(f"/{name}:{frozen['checkpoint_id']}")


async def test_a_deleted_checkpoint_leaves_nothing_anywhere(snap: Snap, cluster: ClusterInfo, shared: str) -> None:
    frozen = await snap.freeze(shared, "count", cluster=PUSHING)
    other = await snap.freeze(shared, "count", cluster=PUSHING)
    image, digest = await snap.image_of(frozen["checkpoint_id"])
    body = {"pod_name": "count", "checkpoint_name": frozen["checkpoint_id"], "checkpoint_config_name": "open"}
    copied = await snap.ok("POST", "/registry/create_and_push_checkpoint_container", body)
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")
    assert await index_digest(cluster, image, digest) is None
    assert await index_digest(cluster, copied["image_tag"], digest) is None
    assert (await snap.call("GET", f"/checkpoint/{frozen['checkpoint_id']}")).code == "NOT_FOUND"
    assert (await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}"))["success"] is True, "again is as good"
    remaining, remaining_digest = await snap.image_of(other["checkpoint_id"])
    assert await index_digest(cluster, remaining, remaining_digest) == remaining_digest
    kept = await snap.freeze(shared, "count", cluster=PLAIN)
    await snap.ok("DELETE", f"/checkpoint/{kept['checkpoint_id']}")
    assert f"{kept['checkpoint_id']}.tar.zst" not in snap.blobs()
    assert (await snap.call("DELETE", "/checkpoint/" + "0" * 20)).code == "NOT_FOUND"


async def test_each_container_of_a_pod_has_its_own_image(snap: Snap, shared: str) -> None:
    refused = await snap.call(
        "POST",
        "/checkpoint/kubelet/checkpoint",
        {"pod_name": "pair", "namespace": shared, "cluster_name": PUSHING},
    )
    assert (refused.status, refused.code) == (422, "VALIDATION_ERROR")
    assert "front, back" in refused.details
    images = set()
    for container in ("front", "back"):
        frozen = await snap.freeze(shared, "pair", container_name=container)
        images.add((await snap.image_of(frozen["checkpoint_id"]))[0])
    assert len(images) == 2


REFUSED: list[tuple[dict[str, object], int, str]] = [
    ({"cluster_name": "unknown"}, 404, "CLUSTER_NOT_FOUND"),
    ({"pod_name": "unknown"}, 404, "NOT_FOUND"),
    ({"namespace": "unknown"}, 404, "NOT_FOUND"),
    ({"container_name": "unknown"}, 404, "NOT_FOUND"),
    ({"pod_name": "unknown", "node_name": "unknown"}, 404, "NOT_FOUND"),
    ({"node_name": "node2"}, 422, "VALIDATION_ERROR"),
    ({"pod_name": "../etc"}, 422, "VALIDATION_ERROR"),
    ({"namespace": "a/b"}, 422, "VALIDATION_ERROR"),
    ({"cluster_name": ".."}, 422, "VALIDATION_ERROR"),
    ({"container_name": "x" * 64}, 422, "VALIDATION_ERROR"),
    ({"pod_name": None}, 422, "VALIDATION_ERROR"),
]


@pytest.mark.parametrize(("fields", "status", "code"), REFUSED)
async def test_what_cannot_be_frozen_is_refused_before_anything_is_made(
    snap: Snap, shared: str, fields: dict[str, object], status: int, code: str
) -> None:
    count = len((await snap.ok("GET", "/jobs"))["jobs"])
    body = {"pod_name": "count", "namespace": shared, "cluster_name": PLAIN} | fields
    refused = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
    assert (refused.status, refused.code) == (status, code)
    assert refused.details
    assert len((await snap.ok("GET", "/jobs"))["jobs"]) == count


PUSH_REFUSED: list[tuple[dict[str, str], dict[str, str], int, str]] = [
    ({}, {"cluster": "unknown"}, 404, "CLUSTER_NOT_FOUND"),
    ({"pod_name": "unknown"}, {}, 404, "NOT_FOUND"),
    ({"container_name": "unknown"}, {}, 404, "NOT_FOUND"),
    ({"node_name": "node2"}, {}, 422, "VALIDATION_ERROR"),
    ({"pod_name": ""}, {}, 422, "VALIDATION_ERROR"),
    ({"checkpoint_config_name": "unknown"}, {}, 404, "NOT_FOUND"),
    ({}, {"registry": "unknown"}, 404, "NOT_FOUND"),
    # The cluster names none, and there are several.
    ({"checkpoint_config_name": "default"}, {"cluster": PLAIN}, 422, "VALIDATION_ERROR"),
    ({}, {"tag": "no tag"}, 422, "VALIDATION_ERROR"),
    ({}, {"image_name": "../up"}, 422, "VALIDATION_ERROR"),
]


@pytest.mark.parametrize(("query", "fields", "status", "code"), PUSH_REFUSED)
async def test_what_cannot_be_pushed_is_refused_before_anything_is_made(
    snap: Snap, shared: str, *, query: dict[str, str], fields: dict[str, str], status: int, code: str
) -> None:
    count = len((await snap.ok("GET", "/jobs"))["jobs"])
    body = {"namespace": shared, "cluster": PUSHING} | fields
    path = "/checkpoint/kubelet/checkpoint-and-push"
    refused = await snap.call("POST", path, body, **({"pod_name": "count"} | query))
    assert (refused.status, refused.code) == (status, code), refused
    assert refused.details
    assert len((await snap.ok("GET", "/jobs"))["jobs"]) == count


async def test_a_pod_that_does_not_run_is_a_conflict(snap: Snap, kubectl: Kubectl, shared: str) -> None:
    pod = counter_pod("ended", shared, snap.cluster.images["counter"], node="node1")
    pod["spec"]["containers"][0]["command"] = ["/bin/busybox", "true"]
    pod["spec"]["restartPolicy"] = "Never"
    kubectl.apply(pod)
    kubectl(
        "wait",
        "pod/ended",
        f"--namespace={shared}",
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=60s",
        timeout_s=70,
    )
    body = {"pod_name": "ended", "namespace": shared, "cluster_name": PLAIN}
    refused = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert "Succeeded" in refused.details


async def test_two_calls_at_once_make_one_checkpoint(snap: Snap, shared: str) -> None:
    body = {"pod_name": "pair", "namespace": shared, "cluster_name": PLAIN, "container_name": "front"}
    answers = await asyncio.gather(*(snap.call("POST", "/checkpoint/kubelet/checkpoint", body) for _ in range(3)))
    assert sorted(each.status for each in answers) == [200, 409, 409]
    assert {each.code for each in answers if each.status == 409} == {"CONFLICT"}


async def test_the_cluster_says_what_its_nodes_can(snap: Snap, cluster: ClusterInfo) -> None:
    status = await snap.ok("GET", f"/cluster/status/{PLAIN}")
    assert (status["status"], status["daemonset_status"]) == ("healthy", "running")
    assert [each["name"] for each in status["nodes"]] == [each.name for each in cluster.nodes]
    for node in status["nodes"]:
        assert node["checkpointing_enabled"] is True
        assert node["runc_version"]
        assert node["restore_supported"] == "runtime"
    summary = (await snap.ok("GET", "/cluster/status/summary", cluster_name=PLAIN))["cluster_status"]
    assert (summary["total_nodes"], summary["ready_nodes"], summary["overall_status"]) == (2, 2, "ready")
    totals = await snap.ok("GET", "/cluster/statistics")
    assert totals["total_clusters"] == 2
    assert totals["active_clusters"] >= 1
    assert totals["total_nodes"] >= 2
    assert (await snap.call("GET", "/cluster/status/unknown")).code == "CLUSTER_NOT_FOUND"


async def test_the_deprecated_calls_answer_to_the_letter(snap: Snap) -> None:
    answer = await snap.call("POST", "/cluster/enable_checkpointing", {"cluster_name": "x", "node_names": 1})
    assert answer.status == 200
    assert answer.headers["Deprecation"] == "true"
    text = "This endpoint is deprecated. Checkpointing is now handled automatically by the DaemonSet."
    assert answer.body == {"success": False, "message": text}
