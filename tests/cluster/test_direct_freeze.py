"""A freeze straight from the node's OCI runtime: what it makes is what the kubelet's makes, and it leaves as little."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import Manifest, webapp_pod
from tests.cluster.snap import PLAIN, PUSHING, Snap, open_snap

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

MEMORY_MB = 128
FREEZES = "/var/lib/ksnap/freezes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), {"KSNAP_SHUTDOWN_GRACE_S": "1"}) as opened:
        yield opened


@pytest.fixture(scope="module")
def room(kubectl: Kubectl, cluster: ClusterInfo) -> Iterator[str]:
    """A namespace with a web app of the class ksnap on each node, and one without the class."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        image = cluster.images["webapp"]
        for node in ("node1", "node2"):
            kubectl.apply(of_class(webapp_pod(node, name, image, node=node, memory_mb=MEMORY_MB, start_s=0)))
        kubectl.apply(webapp_pod("plain", name, image, node="node1", memory_mb=16, start_s=0))
        for pod in ("node1", "node2", "plain"):
            kubectl.wait_ready(name, pod, timeout_s=120)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def of_class(pod: Manifest) -> Manifest:
    pod["spec"]["runtimeClassName"] = "ksnap"
    return pod


async def frozen(snap: Snap, room: str, pod: str, cluster: str = PUSHING, **fields: object) -> dict[str, Any]:
    body = {"pod_name": pod, "namespace": room, "cluster_name": cluster, **fields}
    done = await snap.ok("POST", "/checkpoint/freeze", body)
    return await snap.ok("GET", f"/checkpoint/{done['checkpoint_id']}")


async def begun(snap: Snap, room: str, pod: str) -> str:
    body = {"pod_name": pod, "namespace": room, "cluster_name": PUSHING}
    started = await snap.ok("POST", "/checkpoint/freeze", body, wait="false")
    return str(started["job_id"])


def left_on(snap: Snap, room: str, node: str) -> list[str]:
    """Archives of the room's pods, and folders of images of whomever."""
    folder = snap.cluster.node(node).path(FREEZES)
    assert folder.is_dir(), "the agent's folder is elsewhere, and nothing that is seen here means anything"
    return [*snap.archives_on(node, room), *(each.name for each in folder.iterdir())]


@pytest.mark.parametrize(("source", "target"), [("node1", "node2"), ("node2", "node1")])
async def test_it_is_restored_by_either_engine(
    snap: Snap, kubectl: Kubectl, room: str, source: str, target: str
) -> None:
    token = kubectl.fetch(room, source)["token"]
    record = await frozen(snap, room, source)
    assert record["freeze_engine"] == "runtime"
    assert 1_000 < record["frozen_us"] < 60_000_000
    assert record["size_bytes"] > MEMORY_MB << 20
    assert left_on(snap, room, source) == []
    for engine, node in (("runtime", target), ("image", "node2")):
        copy = f"{source}-{engine}"
        body = {"pod_name": copy, "engine": engine, "node_name": node}
        result = await snap.ok("POST", f"/checkpoint/{record['id']}/restore", body)
        assert (result["restored"], result["engine"]) == (True, engine)
        assert kubectl.fetch(room, copy)["token"] == token
        kubectl("delete", "pod", copy, f"--namespace={room}", "--wait=false")
    (status,) = kubectl.get(room, "pod", source)["status"]["containerStatuses"]
    assert (kubectl.fetch(room, source)["token"], status["restartCount"]) == (token, 0)


async def test_its_archive_is_the_kubelets(snap: Snap, room: str, tmp_path: Path) -> None:
    """The same members with the same documents, of one process frozen twice."""
    seen = []
    for engine in ("kubelet", "runtime"):
        record = await frozen(snap, room, "node1", PLAIN, engine=engine)
        assert record["freeze_engine"] == engine
        assert left_on(snap, room, "node1") == []
        seen.append(await members(snap, record, tmp_path / f"{engine}.tar"))
    kubelets, ours = seen
    assert ours.keys() == kubelets.keys()
    # Runs of pages split differently from dump to dump; how many pages there are hardly changes.
    assert abs(ours["checkpoint/pages-1.img"] - kubelets["checkpoint/pages-1.img"]) < 16 << 20


async def members(snap: Snap, record: dict[str, Any], path: Path) -> dict[str, int]:
    """Names and sizes in a downloaded archive."""
    command = ["curl", "--silent", "--show-error", "--fail", "--output", str(path), "--header", "@-"]
    url = f"{snap.server.url}/checkpoint/download/{record['pod_name']}/{record['filename']}"
    curl = await asyncio.create_subprocess_exec(*command, url, stdin=asyncio.subprocess.PIPE)
    await curl.communicate(f"Authorization: Bearer {snap.server.token}".encode())
    assert curl.returncode == 0
    listing = await asyncio.create_subprocess_exec("tar", "--list", "--verbose", "--file", path, stdout=-1)
    text, _ = await listing.communicate()
    assert listing.returncode == 0
    lines = [line.split(maxsplit=5) for line in text.decode().splitlines()]
    return {name.rstrip("/"): int(size) for _, _, size, _, _, name in lines}


async def test_other_containers_are_frozen_by_the_kubelet(snap: Snap, kubectl: Kubectl, room: str) -> None:
    token = kubectl.fetch(room, "plain")["token"]
    assert (await frozen(snap, room, "plain"))["freeze_engine"] == "kubelet"
    body = {"pod_name": "plain", "namespace": room, "cluster_name": PUSHING, "engine": "runtime"}
    refused = await snap.call("POST", "/checkpoint/freeze", body)
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert "runtimeClassName: ksnap" in refused.details
    assert left_on(snap, room, "node1") == []
    assert kubectl.fetch(room, "plain")["token"] == token


async def test_a_freeze_that_others_ask_for_is_whole(kubectl: Kubectl, room: str) -> None:
    """The kubelet asked by hand, while the agent wants nothing."""
    archive = kubectl.checkpoint(room, "node2", "webapp")
    try:
        assert archive.stat().st_size > MEMORY_MB << 20
    finally:
        archive.unlink()


@pytest.mark.parametrize("stage", ["dumping", "pushing"])
async def test_an_agent_that_is_killed_goes_on_or_leaves_nothing(
    snap: Snap, kubectl: Kubectl, room: str, stage: str
) -> None:
    token = kubectl.fetch(room, "node1")["token"]
    job_id = await begun(snap, room, "node1")
    await snap.stage(job_id, stage)
    on_node = "--field-selector=spec.nodeName=node1"
    kubectl(
        "delete", "pod", "--namespace=ksnap", on_node, "--selector=app.kubernetes.io/component=agent", "--force",
        "--grace-period=0", "--wait=false",
    )  # fmt: skip
    job = await snap.ended(job_id)
    assert job["status"] == "completed", job["error"]
    assert left_on(snap, room, "node1") == []
    assert kubectl.fetch(room, "node1")["token"] == token
    body = {"pod_name": f"after-{stage}", "engine": "runtime", "node_name": "node2"}
    assert (await snap.ok("POST", f"/checkpoint/{job['checkpoint_id']}/restore", body))["restored"] is True
    assert kubectl.fetch(room, f"after-{stage}")["token"] == token


@pytest.mark.parametrize("stage", ["dumping", "pushing"])
async def test_one_that_is_cancelled_leaves_nothing(snap: Snap, kubectl: Kubectl, room: str, stage: str) -> None:
    token = kubectl.fetch(room, "node1")["token"]
    job_id = await begun(snap, room, "node1")
    await snap.stage(job_id, stage)
    await snap.ok("POST", f"/jobs/{job_id}/cancel")
    assert (await snap.ended(job_id))["status"] == "cancelled"
    assert left_on(snap, room, "node1") == []
    assert kubectl.fetch(room, "node1")["token"] == token
