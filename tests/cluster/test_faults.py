"""The server when things go wrong: killed, stopped or cancelled at each stage; parties that refuse, hang or go away.

After each of them the job has completed or cleanly failed: no archive on the node, no image that a tag names, no blob
without a checkpoint, no row that says running; and the frozen container runs on.
"""

import asyncio
import base64
import secrets
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, webapp_pod
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from tests.cluster.kubelets import without_checkpoints
from tests.cluster.snap import PLAIN, PUSHING, Snap, access_fields, open_snap
from tests.cluster.test_agent import access_to
from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import Answer, DropAfter, Fault, FaultProxy, Hang, fault_proxy
from tests.parties.tcp_gate import tcp_gate

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

NODE = "node1"
MEMORY_MB = 128
"""Enough for a dump and a push that take a moment."""
HOLDS_A_RING = """
import ctypes, time
# io_uring_setup of 4 entries: 425 on every architecture.
ring = ctypes.CDLL(None, use_errno=True).syscall(425, 4, ctypes.create_string_buffer(120))
assert ring >= 0, ctypes.get_errno()
time.sleep(1e6)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), {"KSNAP_SHUTDOWN_GRACE_S": "1"}) as opened:
        yield opened


@pytest.fixture(scope="module")
def room(kubectl: Kubectl, cluster: ClusterInfo) -> Iterator[str]:
    """A namespace with a web app of some size, which every test here freezes."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        kubectl.apply(webapp_pod("web", name, cluster.images["webapp"], node=NODE, memory_mb=MEMORY_MB, start_s=0))
        kubectl.wait_ready(name, "web", timeout_s=120)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def runs_on(kubectl: Kubectl, room: str) -> Iterator[None]:
    """The frozen process is the same before and after."""
    token = kubectl.fetch(room, "web")["token"]
    yield
    assert kubectl.fetch(room, "web")["token"] == token


@asynccontextmanager
async def proxied(snap: Snap, *faults: Fault) -> AsyncIterator[tuple[str, FaultProxy]]:
    """A cluster whose registry is the private one behind a proxy with faults: its name, and the proxy."""
    access = access_to(snap.cluster)
    trust = await asyncio.to_thread(lambda: ssl.create_default_context(cadata=access.ca_cert))
    address = access.host.partition(":")[0]
    with tempfile.TemporaryDirectory() as folder:
        # TLS, since the registry writes https into the addresses that it hands out.
        certificate = issue_certificate(Path(folder), hosts=("proxy.test", address))
        upstream = f"https://{access.host}"
        async with fault_proxy(upstream, tls=certificate, upstream_tls=trust, address=address) as proxy:
            for each in faults:
                proxy.add(each)
            name = f"faulty-{secrets.token_hex(3)}"
            fields = access_fields(snap.cluster, "private") | {"ca_cert": certificate.ca_pem}
            await snap.add_registry(name, proxy.host, **fields)
            await snap.add_cluster(name, registry_name=name, repo=name)
            yield name, proxy


async def assert_clean(snap: Snap, room: str, job: dict[str, Any]) -> None:
    """Whole or nothing."""
    record = await snap.ok("GET", f"/checkpoint/{job['checkpoint_id']}")
    assert record["status"] == ("completed" if job["status"] == "completed" else "failed")
    assert snap.archives_on(NODE, room) == []
    running = (await snap.ok("GET", "/jobs", status="running"))["jobs"]
    assert running == []
    if job["status"] == "completed":
        await snap.ok("DELETE", f"/checkpoint/{job['checkpoint_id']}")
    else:
        assert record["error"]
        assert record["image"] is None
        assert [each for each in snap.blobs() if each.startswith(job["checkpoint_id"])] == []


async def assert_no_image(snap: Snap, repo: str) -> None:
    """Nothing is tagged in any repository below `repo`."""
    root = snap.cluster.kubeconfig.parent / "registry-private/docker/registry/v2/repositories" / repo
    assert [str(each) for each in root.rglob("_manifests/tags/*/current/link")] == []
    assert [str(each) for each in root.rglob("_layers/sha256/*/link")] == []


PUSHING_STAGES = ["queued", "dumping", "pushing", "verifying"]
FETCHING_STAGES = ["queued", "dumping", "awaiting_fetch", "fetching"]
RESTORING_STAGES = [
    *(("image", stage) for stage in ("creating", "starting", "proving")),
    *(("runtime", stage) for stage in ("fetching", "creating", "starting", "proving")),
]
HOLD = {
    "pushing": Fault("PATCH", "/blobs/uploads/", Hang(after_request_bytes=1 << 20)),
    "verifying": Fault("HEAD", "/manifests/sha256:", Hang(), skip=3),
}


def held_at(stage: str) -> list[Fault]:
    """The registry hangs at this stage, once."""
    fault = HOLD.get(stage)
    return [] if fault is None else [Fault(fault.method, fault.path, fault.action, skip=fault.skip)]


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize(("engine", "stage"), RESTORING_STAGES)
async def test_a_killed_server_finishes_a_restore(
    snap: Snap, kubectl: Kubectl, room: str, *, engine: str, stage: str
) -> None:
    frozen = await snap.freeze(room, "web")
    name = f"copy-{engine}-{stage}"
    body = {"pod_name": name, "node_name": "node2", "engine": engine}
    path = f"/checkpoint/{frozen['checkpoint_id']}"
    begun = await snap.ok("POST", f"{path}/restore", body, wait="false")
    await snap.stage(begun["job_id"], stage)
    await snap.kill()
    await snap.start()
    job = await snap.ended(begun["job_id"])
    assert (job["status"], job["result"]["restored"]) == ("completed", True), job
    assert kubectl.fetch(room, name)["token"] == kubectl.fetch(room, "web")["token"]
    kubectl("delete", "pod", name, f"--namespace={room}", "--wait=true", timeout_s=60)
    await snap.ok("DELETE", path)


@pytest.mark.usefixtures("runs_on")
async def test_a_killed_server_finishes_a_deletion(snap: Snap, room: str) -> None:
    async with proxied(snap) as (cluster, proxy):
        frozen = await snap.freeze(room, "web", cluster=cluster)
        proxy.add(Fault("DELETE", "/manifests/", Hang()))
        path = f"/checkpoint/{frozen['checkpoint_id']}"
        begun = await snap.ok("DELETE", path, wait="false")
        await snap.stage(begun["job_id"], "images")
        await snap.kill()
        proxy.release()
        await snap.start()
        assert (await snap.ended(begun["job_id"]))["status"] == "completed"
        assert (await snap.call("GET", path)).code == "NOT_FOUND"
        await assert_no_image(snap, cluster)


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize("stage", [*PUSHING_STAGES, "cleaning"])
async def test_a_killed_server_finishes_what_it_pushed(snap: Snap, room: str, stage: str) -> None:
    async with proxied(snap, *held_at(stage)) as (cluster, proxy):
        job_id, _ = await snap.begin(room, "web", cluster=cluster)
        await snap.stage(job_id, stage)
        await snap.kill()
        proxy.release()
        await snap.start()
        await assert_clean(snap, room, await snap.ended(job_id))


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize("stage", FETCHING_STAGES)
async def test_a_killed_server_finishes_what_it_fetched(snap: Snap, room: str, stage: str) -> None:
    job_id, _ = await snap.begin(room, "web", cluster=PLAIN)
    await snap.stage(job_id, stage)
    await snap.kill()
    await snap.start()
    job = await snap.ended(job_id)
    assert job["status"] == "completed", job["error"]
    await assert_clean(snap, room, job)


@pytest.mark.usefixtures("runs_on")
async def test_a_stopped_server_takes_its_jobs_up_again(snap: Snap, room: str) -> None:
    job_id, _ = await snap.begin(room, "web", cluster=PLAIN)
    await snap.stage(job_id, "dumping")
    await snap.stop()
    await snap.start()
    job = await snap.ended(job_id)
    assert job["status"] == "completed", job["error"]
    await assert_clean(snap, room, job)


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize("stage", PUSHING_STAGES)
async def test_a_cancelled_push_leaves_nothing(snap: Snap, room: str, stage: str) -> None:
    async with proxied(snap, *held_at(stage)) as (cluster, _):
        job_id, _ = await snap.begin(room, "web", cluster=cluster)
        await snap.stage(job_id, stage)
        job = await snap.ok("POST", f"/jobs/{job_id}/cancel")
        assert job["status"] == "cancelled"
        await assert_clean(snap, room, job)
        await assert_no_image(snap, cluster)


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize("stage", FETCHING_STAGES)
async def test_a_cancelled_fetch_leaves_nothing(snap: Snap, room: str, stage: str) -> None:
    job_id, checkpoint_id = await snap.begin(room, "web", cluster=PLAIN)
    await snap.stage(job_id, stage)
    job = await snap.ok("POST", f"/checkpoint/{checkpoint_id}/cancel")
    assert job["status"] == "cancelled"
    await assert_clean(snap, room, job)
    again = await snap.call("POST", f"/jobs/{job_id}/cancel")
    assert (again.status, again.code) == (409, "CONFLICT")


@pytest.mark.usefixtures("runs_on")
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("POST", "/blobs/uploads/", Answer(500, b"{}"), times=None), "IMAGE_PUSH_FAILED"),
        (Fault("PATCH", "/blobs/uploads/", DropAfter(request_bytes=1 << 20), times=None), "IMAGE_PUSH_FAILED"),
        (Fault("PUT", "/manifests/", Answer(403, b"{}"), times=None), "IMAGE_PUSH_FAILED"),
        (Fault("GET", "/v2/", Answer(401, b"{}"), times=None), ""),
    ],
    ids=["500", "dropped", "refused-manifest", "credentials"],
)
async def test_a_registry_that_fails_is_told_and_left_clean(snap: Snap, room: str, fault: Fault, code: str) -> None:
    async with proxied(snap, fault) as (cluster, proxy):
        if not code:
            code = "REGISTRY_CONNECTION_FAILED"
            proxy.faults[0] = Fault("POST", "/blobs/uploads/", Answer(401, b"{}"), times=None)
        job_id, _ = await snap.begin(room, "web", cluster=cluster)
        job = await snap.ended(job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", code), job
        assert job["error"]["hint"] or job["error"]["details"]
        proxy.faults.clear()
        await assert_clean(snap, room, job)
        await assert_no_image(snap, cluster)


@pytest.mark.usefixtures("runs_on")
async def test_wrong_registry_credentials_are_told(snap: Snap, room: str) -> None:
    name = f"wrong-{secrets.token_hex(3)}"
    fields = access_fields(snap.cluster, "private") | {"password": "not the password"}
    await snap.add_registry(name, snap.cluster.registries["private"].host, **fields)
    await snap.add_cluster(name, registry_name=name, repo=name)
    body = {"pod_name": "web", "namespace": room, "cluster_name": name}
    failed = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
    assert (failed.status, failed.code) == (502, "REGISTRY_CONNECTION_FAILED")
    assert "not the password" not in failed.text
    assert snap.archives_on(NODE, room) == []
    pushed = {"namespace": room, "cluster": name}
    failed = await snap.call("POST", "/checkpoint/kubelet/checkpoint-and-push", pushed, pod_name="web")
    assert (failed.status, failed.code) == (502, "REGISTRY_CONNECTION_FAILED")
    newest = (await snap.ok("GET", "/checkpoint/list", namespace=room))["checkpoints"][0]
    assert newest["id"] in failed.details, "it names the checkpoint that failed"


@pytest.mark.usefixtures("runs_on")
async def test_an_api_server_that_is_away_for_20_s_is_waited_out(snap: Snap, room: str) -> None:
    host, _, port = snap.cluster.api_server.removeprefix("https://").partition(":")
    async with tcp_gate(host, int(port)) as gate:
        name = f"gated-{secrets.token_hex(3)}"
        kubeconfig = yaml.safe_load(snap.cluster.kubeconfig.read_text())
        kubeconfig["clusters"][0]["cluster"]["tls-server-name"] = host
        encoded = base64.b64encode(yaml.safe_dump(kubeconfig).encode()).decode()
        await snap.add_cluster(name, api_server_url=f"https://{gate.host}", kubeconfig_content=encoded)
        job_id, _ = await snap.begin(room, "web", cluster=name)
        await snap.stage(job_id, "dumping")
        await gate.shut()
        refused = await snap.call(
            "POST", "/checkpoint/kubelet/checkpoint", {"pod_name": "other", "namespace": room, "cluster_name": name}
        )
        assert (refused.status, refused.code) == (502, "CLUSTER_CONNECTION_FAILED")
        await asyncio.sleep(20)
        await gate.open()
        job = await snap.ended(job_id)
        assert job["status"] == "completed", job["error"]
        await assert_clean(snap, room, job)


@pytest.mark.usefixtures("runs_on")
async def test_an_agent_that_is_killed_comes_back_and_goes_on(snap: Snap, kubectl: Kubectl, room: str) -> None:
    async with proxied(snap, *held_at("pushing")) as (cluster, proxy):
        job_id, _ = await snap.begin(room, "web", cluster=cluster)
        await snap.stage(job_id, "pushing")
        on_node = f"--field-selector=spec.nodeName={NODE}"
        kubectl(
            "delete", "pod", "--namespace=ksnap", on_node, "--selector=app.kubernetes.io/component=agent", "--force",
            "--grace-period=0", "--wait=false",
        )  # fmt: skip
        proxy.release()
        job = await snap.ended(job_id)
        await assert_clean(snap, room, job)
        assert job["status"] == "completed", job["error"]


async def test_a_cluster_that_cannot_be_reached_is_told(snap: Snap, room: str) -> None:
    token = {"auth_type": "token", "token": "nobody", "kubeconfig_content": ""}
    certificate = {"ca_cert": snap.cluster.ca_file.read_text()}
    for fields, words in (
        ({"api_server_url": "https://127.0.0.1:9"}, "unreachable"),
        (token | certificate, "credentials"),
        (token, "certificate is not trusted"),
    ):
        name = f"bad-{secrets.token_hex(3)}"
        await snap.add_cluster(name, **fields)
        body = {"pod_name": "web", "namespace": room, "cluster_name": name}
        failed = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
        assert (failed.status, failed.code) == (502, "CLUSTER_CONNECTION_FAILED")
        assert words in failed.body["error"]


@pytest.mark.usefixtures("runs_on")
async def test_a_freeze_that_takes_too_long_is_told(
    cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, room: str
) -> None:
    environment = {"KSNAP_DUMP_TIMEOUT_S": "0.05"}
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), environment) as hasty:
        for body, path, query in (
            ({"pod_name": "web", "namespace": room, "cluster_name": PLAIN}, "checkpoint", {}),
            ({"namespace": room, "cluster": PUSHING}, "checkpoint-and-push", {"pod_name": "web"}),
        ):
            failed = await hasty.call("POST", f"/checkpoint/kubelet/{path}", body, **query)
            assert (failed.status, failed.code) == (504, "CHECKPOINT_FAILED"), failed
            assert hasty.archives_on(NODE, room) == []
        assert (await hasty.ok("GET", "/jobs", status="running"))["jobs"] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    try:
        yield tmp_path
        assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.usefixtures("runs_on")
async def test_a_full_blob_store_is_told_and_left_clean(
    cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, room: str, small_disk: Path
) -> None:
    environment = {"KSNAP_BLOB_STORE_URL": small_disk.as_uri()}
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), environment) as full:
        body = {"pod_name": "web", "namespace": room, "cluster_name": PLAIN}
        failed = await full.call("POST", "/checkpoint/kubelet/checkpoint", body)
        assert (failed.status, failed.code) == (507, "INSUFFICIENT_STORAGE"), failed
        assert full.archives_on(NODE, room) == []
        (record,) = (await full.ok("GET", "/checkpoint/list", namespace=room))["checkpoints"]
        assert record["status"] == "failed"


@pytest.mark.usefixtures("runs_on")
async def test_a_kubelet_without_the_feature_is_told(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    with without_checkpoints(cluster, kubectl, NODE):
        for body, path, query in (
            ({"pod_name": "web", "namespace": room, "cluster_name": PLAIN}, "checkpoint", {}),
            ({"namespace": room, "cluster": PUSHING}, "checkpoint-and-push", {"pod_name": "web"}),
        ):
            failed = await snap.call("POST", f"/checkpoint/kubelet/{path}", body, **query)
            assert (failed.status, failed.code) == (502, "CHECKPOINT_FAILED"), failed
            assert "ContainerCheckpoint" in failed.details
            assert snap.archives_on(NODE, room) == []
        assert (await snap.ok("GET", "/jobs", status="running"))["jobs"] == []


async def test_what_criu_refuses_is_explained(snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str) -> None:
    """An io_uring cannot be frozen, whatever the options are."""
    pod = counter_pod("ring", room, cluster.images["webapp"], node=NODE)
    pod["spec"]["containers"][0]["command"] = ["python3", "-c", HOLDS_A_RING]
    pod["spec"]["containers"][0]["securityContext"] = {"seccompProfile": {"type": "Unconfined"}}
    kubectl.apply(pod)
    kubectl.wait_ready(room, "ring")
    try:
        body = {"pod_name": "ring", "namespace": room, "cluster_name": PLAIN}
        failed = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
        assert (failed.status, failed.code) == (502, "CHECKPOINT_FAILED"), failed
        assert "io_uring" in failed.body["error"]
        assert "Dumping FAILED" in failed.details
        assert snap.archives_on(NODE, room) == []
        (status,) = kubectl.get(room, "pod", "ring")["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0)
    finally:
        kubectl("delete", "pod", "ring", f"--namespace={room}", "--wait=false")


async def test_a_node_without_an_agent_is_told(
    cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, room: str
) -> None:
    environment = {"KSNAP_AGENT_NAMESPACE": "nowhere"}
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), environment) as lonely:
        body = {"pod_name": "web", "namespace": room, "cluster_name": PLAIN}
        failed = await lonely.call("POST", "/checkpoint/kubelet/checkpoint", body)
        assert (failed.status, failed.code) == (502, "CHECKPOINT_FAILED")
        assert "Install the agent" in failed.details
        assert lonely.archives_on(NODE, room) == []
        status = await lonely.ok("GET", f"/cluster/status/{PLAIN}")
        assert (status["status"], status["daemonset_status"]) == ("unknown", "not_deployed")
        assert (status["nodes"], status["last_update"]) == ([], None)


async def test_the_registry_has_the_whole_image_after_all(snap: Snap, room: str) -> None:
    """After all that, a plain freeze works and its tag leads to the whole image."""
    frozen = await snap.freeze(room, "web")
    image, digest = await snap.image_of(frozen["checkpoint_id"])
    repository, _, tag = image.partition("/")[2].rpartition(":")
    async with open_registry(access_to(snap.cluster)) as client:
        assert await Manifests(client, repository).head(tag) == digest
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")
