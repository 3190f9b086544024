"""The agent on real nodes: its report, who may call it, captures to a registry and to a server, cancelled, refused.

Needs the development cluster. Faults and restarts are in `test_agent_faults.py`.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import zstandard
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod, webapp_pod
from ksnap.errors import (
    CheckpointFailed,
    Conflict,
    InvalidInput,
    KsnapError,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooLarge,
)
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.client import AgentClient, agent_error
from ksnap.node.protocol import (
    CaptureRequest,
    CaptureState,
    CaptureStatus,
    Confirmation,
    Destination,
    RegistryDestination,
    ServerDestination,
    Stage,
)
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from tests.parties.agents import CHECKPOINTS_DIR, RELEASE, STATE_DIR, AgentRelease, install

# The first one builds the image and helm, if nobody has.
pytestmark = pytest.mark.timeout(600)
NODE = "node2"


@pytest.fixture(scope="module")
def release(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[AgentRelease]:
    found = install(cluster, kubectl, {"criu.tcpClose": "true", "criu.skipInFlight": "true"})
    yield found
    found.uninstall()


@pytest.fixture
async def agent(release: AgentRelease) -> AsyncIterator[AgentClient]:
    async with release.agent(NODE) as found:
        yield found


@pytest.fixture
def counter(kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> CaptureRequest:
    """A small running container, and the request that freezes it to the registry with a password."""
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node=NODE))
    kubectl.wait_ready(namespace, "count")
    return request_for(kubectl, cluster, namespace, "count", "counter")


def request_for(
    kubectl: Kubectl, cluster: ClusterInfo, namespace: str, pod: str, container: str, **fields: object
) -> CaptureRequest:
    found = kubectl.get(namespace, "pod", pod)
    return CaptureRequest.model_validate(
        {
            "namespace": namespace,
            "pod": pod,
            "pod_uid": found["metadata"]["uid"],
            "container": container,
            "container_id": found["status"]["containerStatuses"][0]["containerID"],
            "annotations": {"ksnap.dev/key": "test"},
            "destination": to_registry(cluster, namespace),
            **fields,
        }
    )


def to_registry(cluster: ClusterInfo, namespace: str) -> Destination:
    return RegistryDestination(registry=access_to(cluster), repository=f"agent-tests/{namespace}", tag="t1")


def access_to(cluster: ClusterInfo) -> RegistryAccess:
    registry = cluster.registries["private"]
    return RegistryAccess(
        host=registry.host,
        username=registry.username,
        password=SecretStr(registry.password()),
        ca_cert=registry.ca_file.read_text(),
    )


async def finished(agent: AgentClient, capture_id: str) -> CaptureState:
    """Follow the events to the end; they have no gap and begin at 1."""
    numbers = [event.sequence async for event in agent.follow(capture_id)]
    state = await agent.capture(capture_id)
    assert numbers == list(range(1, state.last_sequence + 1))
    return state


async def tag_digest(cluster: ClusterInfo, namespace: str) -> str | None:
    async with open_registry(access_to(cluster)) as client:
        return await Manifests(client, f"agent-tests/{namespace}").head("t1")


@pytest.mark.parametrize("node", ["node1", "node2"])
async def test_report_says_what_the_node_is_and_can(release: AgentRelease, cluster: ClusterInfo, node: str) -> None:
    async with release.agent(node) as agent:
        for _ in range(60):
            report = await agent.node_report()
            if report.checkpointing_enabled:
                break
            await asyncio.sleep(0.5)

    assert report.node_name == node
    assert report.checkpointing_enabled, report.checks
    described = cluster.node(node)
    assert report.container_runtime == f"containerd://{described.containerd.removeprefix('v')}"
    assert report.kubelet_version == cluster.versions["kubernetes"]
    assert cluster.versions["runc"].startswith(report.runc_version)
    assert cluster.versions["criu"].startswith(report.criu_version)
    assert report.restore_supported == ("image" if described.restores_images else "none"), report.restore_reason
    assert report.free_disk_bytes > 0
    assert report.criu_options == ["tcp-close", "skip-in-flight"]
    assert report.checks["criu"].startswith("criu:Version: ")
    assert release.archives(node, RELEASE) == [], "the probe's archive stayed"


async def test_token_of_another_audience_is_refused(release: AgentRelease) -> None:
    async with release.agent(NODE, audience="https://kubernetes.default.svc") as agent:
        with pytest.raises(NotAuthenticated):
            await agent.node_report()


async def test_token_without_the_right_is_refused(release: AgentRelease) -> None:
    async with release.agent(NODE, account=f"{RELEASE}-agent") as agent:
        with pytest.raises(NotPermitted) as caught:
            await agent.node_report()

    assert "nodeagents" in caught.value.details


async def test_agents_own_account_may_checkpoint_and_nothing_else(
    release: AgentRelease, cluster: ClusterInfo, kubectl: Kubectl
) -> None:
    token = kubectl("create", "token", f"{RELEASE}-agent", f"--namespace={RELEASE}").strip()
    trust = ssl.create_default_context(cafile=str(cluster.ca_file))
    base = f"https://{cluster.node(NODE).address}:10250"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), headers={"Authorization": f"Bearer {token}"}
    ) as session:
        asked = [
            await session.post(f"{base}/checkpoint/default/no-such-pod/x"),
            await session.get(f"{base}/pods"),
            await session.get(f"{base}/containerLogs/{RELEASE}/{release.pod(NODE)}/agent"),
            await session.post(f"{base}/run/{RELEASE}/{release.pod(NODE)}/agent?cmd=id"),
        ]
        for answer in asked:
            answer.release()

    # 404: allowed, and there is no such pod.
    assert [answer.status for answer in asked] == [404, 403, 403, 403]


def test_agent_can_write_to_nothing_of_the_nodes_but_what_is_its_own(release: AgentRelease) -> None:
    writable = {path for path, options in release.mounts(NODE).items() if "rw" in options.split(",")}

    assert not {path for path in writable if path.startswith("/host/")} - {"/host/etc-criu"}
    assert {path for path in writable if path.startswith("/var/")} == {CHECKPOINTS_DIR, STATE_DIR}


def test_agent_is_small_at_rest(release: AgentRelease) -> None:
    assert release.resident_bytes(NODE) < 64 << 20


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("GET", "/v1/nothing", None, NotFound),
        ("POST", "/v1/node", b"{}", KsnapError),
        ("GET", "/v1/captures/unknown", None, NotFound),
        ("GET", "/v1/captures/No_Id", None, InvalidInput),
        ("GET", "/v1/containers/..%2f..%2fetc", None, NotFound),
        ("GET", "/v1/containers/etc..passwd", None, InvalidInput),
        ("GET", "/v1/containers/" + "0" * 64, None, NotFound),
        ("PUT", "/v1/captures/x", b"{", InvalidInput),
        ("PUT", "/v1/captures/x", b'{"namespace": "a"}', InvalidInput),
        ("PUT", "/v1/captures/x", b" " * 400_000, TooLarge),
    ],
)
async def test_bad_calls_get_the_envelope(
    release: AgentRelease, method: str, path: str, body: bytes | None, error: type[KsnapError]
) -> None:
    async with release.proxy(NODE) as proxy, proxy.open(method, path, body=body) as response:
        found = agent_error(response.status, await response.read(100_000))

    assert isinstance(found, error)
    assert found.message


async def test_capture_ends_in_the_registry_and_nowhere_else(
    release: AgentRelease, agent: AgentClient, cluster: ClusterInfo, counter: CaptureRequest
) -> None:
    started = await agent.start_capture(f"whole-{counter.namespace}", counter)
    assert started.status is CaptureStatus.RUNNING
    state = await finished(agent, f"whole-{counter.namespace}")

    assert state.status is CaptureStatus.SUCCEEDED, state.error
    assert state.image is not None
    assert state.archive is not None
    assert await tag_digest(cluster, counter.namespace) == state.image.digest
    assert state.archive.annotations["org.criu.checkpoint.container.name"] == "counter"
    assert release.archives(NODE, counter.namespace) == []
    assert (await agent.start_capture(f"whole-{counter.namespace}", counter)).status is CaptureStatus.SUCCEEDED
    assert (await agent.undo(f"whole-{counter.namespace}")).status is CaptureStatus.SUCCEEDED
    assert release.journal(NODE, f"whole-{counter.namespace}") is None
    assert await tag_digest(cluster, counter.namespace) == state.image.digest


async def test_password_is_never_on_the_node(
    release: AgentRelease, agent: AgentClient, kubectl: Kubectl, cluster: ClusterInfo, counter: CaptureRequest
) -> None:
    await agent.start_capture(f"secret-{counter.namespace}", counter)
    await finished(agent, f"secret-{counter.namespace}")

    password = cluster.registries["private"].password()
    assert password not in str(release.journal(NODE, f"secret-{counter.namespace}"))
    assert password not in kubectl("logs", release.pod(NODE), "-c", "agent", f"--namespace={RELEASE}")


async def test_second_capture_of_a_container_and_another_request_conflict(
    agent: AgentClient, cluster: ClusterInfo, counter: CaptureRequest
) -> None:
    await agent.start_capture(f"first-{counter.namespace}", counter)
    with pytest.raises(Conflict):
        await agent.start_capture(f"second-{counter.namespace}", counter)
    with pytest.raises(Conflict):
        await agent.start_capture(f"first-{counter.namespace}", counter.model_copy(update={"timeout_s": 5.0}))
    assert (await finished(agent, f"first-{counter.namespace}")).status is CaptureStatus.SUCCEEDED


async def test_archive_is_fetched_and_confirmed(
    release: AgentRelease, agent: AgentClient, counter: CaptureRequest
) -> None:
    await agent.start_capture(
        f"fetch-{counter.namespace}", counter.model_copy(update={"destination": ServerDestination()})
    )
    async for event in agent.events(f"fetch-{counter.namespace}"):
        if event.stage is Stage.AWAITING_FETCH:
            break
    data = b"".join([chunk async for chunk in agent.archive(f"fetch-{counter.namespace}")])
    facts = (await agent.capture(f"fetch-{counter.namespace}")).archive

    assert facts is not None
    compressed = "sha256:" + hashlib.sha256(data).hexdigest()
    assert (facts.compressed_digest, facts.compressed_bytes) == (compressed, len(data))
    plain = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
    assert facts.digest == "sha256:" + hashlib.sha256(plain).hexdigest()
    with pytest.raises(Conflict):
        await agent.confirm(f"fetch-{counter.namespace}", Confirmation(digest="sha256:" + "0" * 64, size_bytes=1))
    assert release.archives(NODE, counter.namespace) != []

    state = await agent.confirm(f"fetch-{counter.namespace}", Confirmation(digest=compressed, size_bytes=len(data)))

    assert state.status is CaptureStatus.SUCCEEDED
    assert release.archives(NODE, counter.namespace) == []


async def test_container_that_is_gone_is_not_found(agent: AgentClient, counter: CaptureRequest) -> None:
    await agent.start_capture(f"gone-{counter.namespace}", counter.model_copy(update={"pod": "other"}))
    state = await finished(agent, f"gone-{counter.namespace}")

    assert state.status is CaptureStatus.FAILED
    assert state.error is not None
    assert state.error.code == "NOT_FOUND"


async def test_container_that_was_replaced_is_not_taken_for_the_other(
    release: AgentRelease, agent: AgentClient, counter: CaptureRequest
) -> None:
    await agent.start_capture(
        f"replaced-{counter.namespace}", counter.model_copy(update={"container_id": "containerd://" + "a" * 64})
    )
    state = await finished(agent, f"replaced-{counter.namespace}")

    assert state.status is CaptureStatus.FAILED
    assert state.error is not None
    assert "Another container" in state.error.message
    assert release.archives(NODE, counter.namespace) == []


async def test_timeout_is_told_and_undone(
    release: AgentRelease, agent: AgentClient, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(webapp_pod("big", namespace, cluster.images["webapp"], node=NODE, memory_mb=300, start_s=0))
    kubectl.wait_ready(namespace, "big")
    await agent.start_capture(
        f"late-{namespace}", request_for(kubectl, cluster, namespace, "big", "webapp", timeout_s=0.3)
    )
    state = await finished(agent, f"late-{namespace}")

    assert state.status is CaptureStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.status) == (CheckpointFailed.code, 504)
    assert release.archives(NODE, namespace) == []
    assert kubectl.fetch(namespace, "big")["token"]


async def test_evidence_tells_cold_from_restored(
    release: AgentRelease, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node=NODE))
    kubectl.wait_ready(namespace, "count")
    registry = cluster.registries["open"]
    access = RegistryAccess(host=registry.host, ca_cert=registry.ca_file.read_text())
    destination = RegistryDestination(registry=access, repository=f"agent-tests/{namespace}", tag="t1")
    request = request_for(kubectl, cluster, namespace, "count", "counter", destination=destination)
    async with release.agent(NODE) as agent:
        await agent.start_capture(f"evidence-{namespace}", request)
        state = await finished(agent, f"evidence-{namespace}")
        assert state.image is not None, state.error
        cold = await agent.container(request.container_id)
    image = f"{state.image.host}/{state.image.repository}@{state.image.digest}"
    kubectl.apply(counter_pod("restored", namespace, image, node="node2"))
    kubectl.wait_ready(namespace, "restored")
    status = kubectl.get(namespace, "pod", "restored")["status"]["containerStatuses"][0]
    async with release.agent("node2") as agent:
        restored = await agent.container(status["containerID"])

    assert not cold.restored
    assert restored.restored
    assert "Restore" in restored.record
