"""The agent when things go wrong: killed or cancelled at each stage, nobody resumes, no disk, a connection in the way.

After each of them: either a whole image, or nothing; no archive on the node; the frozen container runs on.
A stage is held by a proxy in front of the registry that lets one request hang.
"""

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, webapp_pod
from ksnap.agent.journal import JournalEntry, wire_error
from ksnap.errors import CheckpointFailed
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.client import AgentClient
from ksnap.node.protocol import (
    CaptureRequest,
    CaptureState,
    CaptureStatus,
    RegistryDestination,
    ServerDestination,
    Stage,
    UndoRequest,
)
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import undo_push
from ksnap.registry.manifests import Manifests
from tests.cluster.test_agent import access_to, finished, request_for
from tests.parties.agents import CHECKPOINTS_DIR, STATE_DIR, AgentRelease, install
from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import Fault, FaultProxy, Hang, fault_proxy

pytestmark = pytest.mark.timeout(600)
NODE = "node2"
TTL_S = 20
CRIU = {"criu.tcpClose": "true", "criu.skipInFlight": "true"}
VALUES = {**CRIU, "capture.orphanTtlSeconds": str(TTL_S), "probe.enabled": "false"}

# A push asks for manifest and index before it puts them, and for the index at its end; then the agent verifies.
HOLD: dict[Stage, Fault] = {
    Stage.PUSHING: Fault("PATCH", "/blobs/uploads/", Hang(after_request_bytes=1 << 20)),
    Stage.VERIFYING: Fault("HEAD", "/manifests/sha256:", Hang(), skip=3),
}


@pytest.fixture(scope="module")
def release(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[AgentRelease]:
    found = install(cluster, kubectl, VALUES)
    yield found
    found.uninstall()


@pytest.fixture
def webapp(kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> str:
    """A running web app of 200 MB; its dump takes seconds. Returns its token."""
    kubectl.apply(webapp_pod("big", namespace, cluster.images["webapp"], node=NODE, memory_mb=200, start_s=0))
    kubectl.wait_ready(namespace, "big")
    return str(kubectl.fetch(namespace, "big")["token"])


@asynccontextmanager
async def held(cluster: ClusterInfo, stage: Stage) -> AsyncIterator[tuple[FaultProxy, RegistryAccess]]:
    """The registry behind a proxy that holds a push at this stage, once."""
    access, address = access_to(cluster), cluster_address(cluster)
    trust = ssl.create_default_context(cadata=access.ca_cert)
    with tempfile.TemporaryDirectory() as folder:
        certificate = issue_certificate(Path(folder), hosts=("proxy.test", address))
        upstream = f"https://{access.host}"
        async with fault_proxy(upstream, tls=certificate, upstream_tls=trust, address=address) as proxy:
            if stage in HOLD:
                fault = HOLD[stage]
                proxy.add(Fault(fault.method, fault.path, fault.action, skip=fault.skip))
            yield proxy, access.model_copy(update={"host": proxy.host, "ca_cert": certificate.ca_pem})


def cluster_address(cluster: ClusterInfo) -> str:
    """This machine, as the nodes reach it."""
    return cluster.registries["private"].host.partition(":")[0]


def destination(access: RegistryAccess, namespace: str) -> RegistryDestination:
    return RegistryDestination(registry=access, repository=f"agent-tests/{namespace}", tag="t1")


async def reach(release: AgentRelease, capture_id: str, stage: Stage) -> None:
    """Wait until the journal has the capture at this stage: that is what a restart would find."""
    deadline = time.monotonic() + 60
    while True:
        entry = await asyncio.to_thread(release.journal, NODE, capture_id)
        if entry is not None and entry["stage"] == stage.value:
            return
        assert time.monotonic() < deadline, f"never reached {stage}: {entry}"
        await asyncio.sleep(0.01)


async def reach_held(release: AgentRelease, proxy: FaultProxy, capture_id: str, stage: Stage) -> None:
    """The same, and the request that the proxy holds is under way."""
    await reach(release, capture_id, stage)
    deadline = time.monotonic() + 60
    while not all(fault.met for fault in proxy.faults):
        assert time.monotonic() < deadline, f"never held at {stage}"
        await asyncio.sleep(0.01)


async def assert_nothing_left(
    release: AgentRelease, cluster: ClusterInfo, namespace: str, *, uploads_broke_off: bool = False
) -> None:
    """`uploads_broke_off`: docker-registry 2.8 cannot cancel an upload whose request was cut (its `DELETE` compares the
    offset of the last answer, blobupload.go); it purges such ones itself."""
    assert release.archives(NODE, namespace) == []
    async with open_registry(access_to(cluster)) as client:
        assert await Manifests(client, f"agent-tests/{namespace}").head("t1") is None
    assert uploads_broke_off or registry_traces(cluster, namespace, "_uploads/*/startedat") == []
    assert registry_traces(cluster, namespace, "_layers/sha256/*/link") == []
    assert registry_traces(cluster, namespace, "_manifests/revisions/sha256/*/link") == []


async def assert_whole(release: AgentRelease, cluster: ClusterInfo, namespace: str, state: CaptureState) -> None:
    """The tag leads to what the capture says it pushed, and the node's copy is gone."""
    assert state.status is CaptureStatus.SUCCEEDED, state.error
    assert state.image is not None
    assert release.archives(NODE, namespace) == []
    async with open_registry(access_to(cluster)) as client:
        assert await Manifests(client, f"agent-tests/{namespace}").head("t1") == state.image.digest


def registry_traces(cluster: ClusterInfo, namespace: str, pattern: str) -> list[str]:
    """What a repository's folder in the registry's own storage holds."""
    root = cluster.kubeconfig.parent / "registry-private/docker/registry/v2/repositories/agent-tests" / namespace
    return sorted(str(path) for path in root.glob(pattern))


STAGES = [Stage.DUMPING, Stage.PUSHING, Stage.VERIFYING]


@pytest.mark.parametrize("stage", STAGES)
async def test_killed_agent_resumes_when_the_request_is_repeated(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str, *, stage: Stage
) -> None:
    capture_id = f"kill-{stage.value}-{namespace}"
    async with held(cluster, stage) as (proxy, access):
        request = request_for(kubectl, cluster, namespace, "big", "webapp", destination=destination(access, namespace))
        async with release.agent(NODE) as agent:
            await agent.start_capture(capture_id, request)
            await reach_held(release, proxy, capture_id, stage)
            seen = (await agent.capture(capture_id)).last_sequence
        await asyncio.to_thread(release.kill, NODE)
        # The agent's connections are gone; the proxy must not keep its own to the registry open.
        proxy.release()
        async with release.agent(NODE) as agent:
            interrupted = await agent.capture(capture_id)
            assert interrupted.status is CaptureStatus.INTERRUPTED
            assert interrupted.last_sequence >= seen
            await agent.start_capture(capture_id, request)
            state = await finished(agent, capture_id)

    await assert_whole(release, cluster, namespace, state)
    assert kubectl.fetch(namespace, "big")["token"] == webapp


@pytest.mark.parametrize("stage", STAGES)
async def test_killed_agent_undoes_when_asked(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str, *, stage: Stage
) -> None:
    capture_id = f"undo-{stage.value}-{namespace}"
    async with held(cluster, stage) as (proxy, access):
        request = request_for(kubectl, cluster, namespace, "big", "webapp", destination=destination(access, namespace))
        async with release.agent(NODE) as agent:
            await agent.start_capture(capture_id, request)
            await reach_held(release, proxy, capture_id, stage)
        await asyncio.to_thread(release.kill, NODE)
        proxy.release()
        async with release.agent(NODE) as agent:
            state = await undone(agent, capture_id, UndoRequest(registry=access))

    assert state.status is CaptureStatus.CANCELLED
    assert release.journal(NODE, capture_id) is None
    await assert_nothing_left(release, cluster, namespace, uploads_broke_off=stage is Stage.PUSHING)
    assert kubectl.fetch(namespace, "big")["token"] == webapp


async def test_killed_agent_undoes_what_nobody_resumes(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str
) -> None:
    capture_id = f"orphan-{namespace}"
    request = request_for(kubectl, cluster, namespace, "big", "webapp", destination=ServerDestination())
    async with release.agent(NODE) as agent:
        await agent.start_capture(capture_id, request)
        await reach(release, capture_id, Stage.DUMPING)
    await asyncio.to_thread(release.kill, NODE)
    async with release.agent(NODE) as agent:
        deadline = time.monotonic() + TTL_S * 2 + 30
        while not (state := await agent.capture(capture_id)).status.ended:
            assert time.monotonic() < deadline
            await asyncio.sleep(1)

    assert state.status is CaptureStatus.FAILED
    assert state.error is not None
    assert "nobody resumed" in state.error.message
    await assert_nothing_left(release, cluster, namespace)
    assert kubectl.fetch(namespace, "big")["token"] == webapp


async def test_agent_killed_while_it_cleans_finishes_by_itself(release: AgentRelease, namespace: str) -> None:
    """The moment is too short to be hit: the journal and the files are laid out as a kill leaves them."""
    cleaning = left_behind(release, namespace, "cleaning", stage=Stage.CLEANING)
    undoing = left_behind(
        release, namespace, "undoing", stage=Stage.CLEANING, error=wire_error(CheckpointFailed("failed before"))
    )
    dumping = left_behind(release, namespace, "dumping", stage=Stage.DUMPING, cancelled=True)
    foreign = lay_archive(release, namespace, "dumping", "2026-11-22T10:00:00Z")
    await asyncio.to_thread(release.kill, NODE)
    async with release.agent(NODE) as agent:
        cleaned = await finished(agent, cleaning)
        undone_state = await finished(agent, undoing)
        await undone(agent, dumping, None)

    assert cleaned.status is CaptureStatus.SUCCEEDED
    assert undone_state.status is CaptureStatus.FAILED
    assert undone_state.error is not None
    assert undone_state.error.message == "failed before"
    # What lay there before the dump was asked for is somebody else's.
    assert release.archives(NODE, namespace) == [foreign]
    release.cluster.node(NODE).path(f"{CHECKPOINTS_DIR}/{foreign}").unlink()


def left_behind(release: AgentRelease, namespace: str, pod: str, **fields: object) -> str:
    """A journal entry, and the archive that it is about."""
    capture_id, now = f"left-{pod}-{namespace}", datetime.now(UTC)
    archive = lay_archive(release, namespace, pod, "2026-11-22T10:00:01Z")
    request = CaptureRequest(
        namespace=namespace,
        pod=pod,
        pod_uid="1",
        container="app",
        container_id="containerd://" + "c" * 64,
        timeout_s=1,
        destination=ServerDestination(),
    )
    path = None if fields["stage"] is Stage.DUMPING else f"{CHECKPOINTS_DIR}/{archive}"
    entry = JournalEntry.model_validate(
        {
            "id": capture_id,
            "request": request,
            "created_at": now,
            "changed_at": now,
            "dump_asked_at": now,
            "archives_before": [f"checkpoint-{pod}_{namespace}-app-2026-11-22T10:00:00Z.tar"],
            "archive_path": path,
            **fields,
        }
    )
    release.cluster.node(NODE).path(f"{STATE_DIR}/journal/{capture_id}.json").write_text(entry.model_dump_json())
    return capture_id


def lay_archive(release: AgentRelease, namespace: str, pod: str, at: str) -> str:
    name = f"checkpoint-{pod}_{namespace}-app-{at}.tar"
    release.cluster.node(NODE).path(f"{CHECKPOINTS_DIR}/{name}").write_bytes(bytes(1024))
    return name


@pytest.mark.parametrize("stage", [*STAGES, Stage.AWAITING_FETCH])
async def test_cancelled_capture_leaves_nothing(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str, *, stage: Stage
) -> None:
    capture_id = f"cancel-{stage.value.replace('_', '-')}-{namespace}"
    async with held(cluster, stage) as (proxy, access), release.agent(NODE) as agent:
        to = ServerDestination() if stage is Stage.AWAITING_FETCH else destination(access, namespace)
        await agent.start_capture(capture_id, request_for(kubectl, cluster, namespace, "big", "webapp", destination=to))
        await reach_held(release, proxy, capture_id, stage)
        state = await undone(agent, capture_id, None)

    assert state.status is CaptureStatus.CANCELLED
    assert release.journal(NODE, capture_id) is None
    # A cancelled push cuts its request.
    await assert_nothing_left(release, cluster, namespace, uploads_broke_off=stage is Stage.PUSHING)
    assert kubectl.fetch(namespace, "big")["token"] == webapp


async def test_queued_capture_is_cancelled_before_it_begins(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node=NODE))
    kubectl.wait_ready(namespace, "count")
    first = request_for(kubectl, cluster, namespace, "big", "webapp", destination=ServerDestination())
    second = request_for(kubectl, cluster, namespace, "count", "counter", destination=ServerDestination())
    async with release.agent(NODE) as agent:
        await agent.start_capture(f"first-{namespace}", first)
        await reach(release, f"first-{namespace}", Stage.DUMPING)
        waiting = await agent.start_capture(f"second-{namespace}", second)
        assert waiting.stage is Stage.QUEUED
        state = await undone(agent, f"second-{namespace}", None)
        await undone(agent, f"first-{namespace}", None)

    assert state.status is CaptureStatus.CANCELLED
    assert release.archives(NODE, namespace) == []
    assert webapp


async def test_agent_that_ends_in_order_is_resumed_too(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, webapp: str
) -> None:
    capture_id = f"term-{namespace}"
    async with held(cluster, Stage.PUSHING) as (proxy, access):
        request = request_for(kubectl, cluster, namespace, "big", "webapp", destination=destination(access, namespace))
        async with release.agent(NODE) as agent:
            await agent.start_capture(capture_id, request)
            await reach_held(release, proxy, capture_id, Stage.PUSHING)
        begun = time.monotonic()
        kubectl("delete", "pod", release.pod(NODE), "--namespace=agent-test", timeout_s=60)
        assert time.monotonic() - begun < 30, "the agent did not end by itself"
        entry = release.journal(NODE, capture_id)
        assert entry is not None
        assert entry["status"] == "interrupted"
        proxy.release()
        async with release.agent(NODE) as agent:
            await agent.start_capture(capture_id, request)
            state = await finished(agent, capture_id)

    await assert_whole(release, cluster, namespace, state)
    assert webapp


async def test_full_disk_is_told_before_the_container_is_touched(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node=NODE))
    kubectl.wait_ready(namespace, "count")
    release.upgrade({**VALUES, "capture.minFreeBytes": str(1 << 50)})
    try:
        async with release.agent(NODE) as agent:
            await agent.start_capture(f"full-{namespace}", request_for(kubectl, cluster, namespace, "count", "counter"))
            state = await finished(agent, f"full-{namespace}")
    finally:
        release.upgrade(VALUES)

    assert state.error is not None
    assert state.error.code == "INSUFFICIENT_STORAGE"
    assert "1,125,899,906,842,624" in state.error.details
    await assert_nothing_left(release, cluster, namespace)


async def test_open_connection_is_explained(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl, namespace: str
) -> None:
    host, _, port = cluster.api_server.removeprefix("https://").partition(":")
    program = f"import socket,time; s=socket.create_connection(('{host}',{port})); time.sleep(1e6)"
    pod = counter_pod("talker", namespace, cluster.images["webapp"], node=NODE)
    pod["spec"]["containers"][0]["command"] = ["python3", "-c", program]
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "talker")
    await asyncio.sleep(1)
    for number in range(3):
        capture_id = f"tcp-{number}-{namespace}"
        with without_criu_options(cluster):
            async with release.agent(NODE) as agent:
                await agent.start_capture(capture_id, request_for(kubectl, cluster, namespace, "talker", "counter"))
                state = await finished(agent, capture_id)
        if state.error is not None:
            break
        # An agent looked after its options in that very moment.
        await remove_image(cluster, namespace, state)

    assert state.error is not None
    assert state.error.code == "CHECKPOINT_FAILED"
    assert "TCP connection" in state.error.message
    assert "tcp-close" in state.error.hint
    assert "Dumping FAILED" in state.error.details
    await assert_nothing_left(release, cluster, namespace)


async def remove_image(cluster: ClusterInfo, namespace: str, state: CaptureState) -> None:
    assert state.image is not None
    async with open_registry(access_to(cluster)) as client:
        await undo_push(
            client,
            f"agent-tests/{namespace}",
            blobs=state.image.blobs,
            manifests=[state.image.manifest_digest, state.image.digest],
        )


@contextmanager
def without_criu_options(cluster: ClusterInfo) -> Iterator[None]:
    """The node as one on which nobody set CRIU's options."""
    path = cluster.node(NODE).path("/etc/criu/runc.conf")
    text = path.read_text()
    path.unlink()
    try:
        yield
    finally:
        path.write_text(text)


async def undone(agent: AgentClient, capture_id: str, request: UndoRequest | None) -> CaptureState:
    """Ask for it until it is done; a dump has to end first."""
    for _ in range(10):
        state = await agent.undo(capture_id, request)
        if state.status.ended:
            return state
    raise AssertionError(f"never ended: {state}")
