"""Hooks as the real API server calls them: pods that are only tried (dry run) are patched, or are not.

The checkpoints are rows in the server's store: what a hook does with a pod needs no image, only a restore would.
"""

import asyncio
import base64
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.stack import agents
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.pods import pods_path
from ksnap.model.checkpoint_key import RESTORE_LABEL, CheckpointKey, slot_of
from ksnap.settings import ServerSettings
from ksnap.store.database import open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint
from tests.cluster.dashboard.client import configure
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client, open_client
from tests.server.test_snaphook import free_port

pytestmark = pytest.mark.timeout(400)
WAIT_S = 120.0
DIGEST = "sha256:" + "1" * 64
IMAGE = "registry.example/snap/web"
CONFIGURATIONS = "mutatingwebhookconfigurations"


@dataclass(slots=True)
class Place:
    """A namespace with a workload in it, and what a server that has its checkpoint runs on."""

    cluster: ClusterInfo
    kubectl: Kubectl
    namespace: str
    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(3)}")
    """Of the names of its clusters, and so of its configurations: other tests may have some at the same time."""

    @property
    def first(self) -> str:
        return f"{self.prefix}-a"

    @property
    def second(self) -> str:
        return f"{self.prefix}-b"

    def tried(self, pod: dict[str, Any]) -> dict[str, Any]:
        """A pod as the API server would make it."""
        words = ("create", "--dry-run=server", "--output=json", "--filename=-", f"--namespace={self.namespace}")
        made: dict[str, Any] = json.loads(self.kubectl(*words, stdin=json.dumps(pod)))
        return made

    @contextmanager
    def server(self) -> Iterator[RunningServer]:
        with running_server(self.data_dir, self.environment) as running:
            yield running

    def know_the_cluster(self, server: RunningServer) -> None:
        """Twice, by two names: whose workload a pod is depends on the hook that is asked."""
        kubeconfig = base64.b64encode(self.cluster.kubeconfig.read_bytes()).decode()
        for name in (self.first, self.second):
            configure(server, name, api_server_url=self.cluster.api_server, kubeconfig_content=kubeconfig)

    def configuration(self, name: str) -> dict[str, Any] | None:
        printed = self.kubectl("get", CONFIGURATIONS, name, "--output=json", "--ignore-not-found")
        found: dict[str, Any] | None = json.loads(printed) if printed else None
        return found


@pytest.fixture(scope="module", autouse=True)
def restoring_nodes(cluster: ClusterInfo, kubectl: Kubectl) -> None:
    """Every node restores by the runtime class; with agents that are there and can, nothing is done."""

    def able() -> bool:
        labels = [each["metadata"]["labels"] for each in json.loads(kubectl("get", "nodes", "--output=json"))["items"]]
        return all(each.get(RESTORE_LABEL) == "runtime" for each in labels)

    if not able():
        agents.install(cluster)
        deadline = time.monotonic() + WAIT_S
        while not able():
            assert time.monotonic() < deadline, kubectl("get", "nodes", f"--label-columns={RESTORE_LABEL}")
            time.sleep(1)


@pytest.fixture
async def place(cluster: ClusterInfo, kubectl: Kubectl, namespace: str, tmp_path: Path) -> AsyncIterator[Place]:
    """A checkpoint of `owned("web")` in the first cluster, of `bare("solo")` in the second."""
    host = str(urlsplit(cluster.api_server).hostname)
    port = str(free_port())
    environment = {
        "KSNAP_HOOK_HOST": host, "KSNAP_HOOK_PORT": port, "KSNAP_HOOK_ADDRESS": host, "KSNAP_HOOK_FOLLOW_TAGS": "false"
    }  # fmt: skip
    place = Place(cluster, kubectl, namespace, tmp_path / "data", environment)
    place.data_dir.mkdir(mode=0o700)
    await asyncio.to_thread(migrate, ServerSettings(data_dir=place.data_dir).resolved_database_url)
    await seed(place, place.first, place.tried(owned("web")), 1)
    await seed(place, place.second, place.tried(bare("solo")), 2)
    yield place
    for hook in ("one", "two"):
        for name in (place.first, place.second):
            kubectl("delete", CONFIGURATIONS, f"snaphook-{hook}-{name}", "--ignore-not-found")


async def seed(place: Place, cluster: str, pod: dict[str, Any], number: int) -> None:
    """The row of a checkpoint of the container `web` of a pod as the API server makes it."""
    slot = slot_of(cluster, pod, "web", architecture="amd64")
    workload = slot.workload
    key = CheckpointKey(
        cluster, workload.namespace, workload.owner, "web", "web", slot.image, DIGEST, slot.template_hash,
        slot.environment_hash,
    )  # fmt: skip
    row = Checkpoint(
        id=f"{number:020x}", cluster_name=cluster, namespace=place.namespace, pod_name="web", pod_uid="u",
        container_name="web", container_id="c", node_name="n", status="completed", filename="f",
        key=key.annotations(), key_digest=key.digest(), pod_encrypted=b"", created_at=datetime.now(UTC),
        created_by="admin", image=f"{IMAGE}:t", image_digest=DIGEST, archive_annotations={},
    )  # fmt: skip
    database = open_database(ServerSettings(data_dir=place.data_dir).resolved_database_url, timeout_s=5.0)
    try:
        async with database.writing() as session:
            session.add(row)
    finally:
        await database.close()


def bare(name: str, label: str = "ksnap.dev/snap", value: str = "true") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", label: value}},
        "spec": {
            "containers": [
                {"name": "web", "image": "registry.example/web:1"},
                {"name": "side", "image": "registry.example/side:1"},
            ]
        },
    }


def owned(name: str, label: str = "ksnap.dev/snap", value: str = "true") -> dict[str, Any]:
    """A pod as a ReplicaSet of a Deployment makes it."""
    pod = bare(f"{name}-abc-{secrets.token_hex(2)}", label, value)
    pod["metadata"]["labels"]["pod-template-hash"] = "abc"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-abc", "uid": "u", "controller": True}
    pod["metadata"]["ownerReferences"] = [owner]
    return pod


def checkpoint_of(pod: dict[str, Any]) -> str | None:
    """The checkpoint that a pod is to start from; None if it was left alone. A pod is never half patched."""
    metadata, spec = pod["metadata"], pod["spec"]
    annotations = metadata.get("annotations", {})
    restored = "restore.ksnap.dev/web" in annotations
    assert (spec.get("runtimeClassName") == "ksnap") == restored
    assert (metadata["labels"].get("ksnap.dev/mutated") == "true") == restored
    assert [each["image"] for each in spec["containers"]] == ["registry.example/web:1", "registry.example/side:1"]
    if not restored:
        return None
    assert annotations["restore.ksnap.dev/web"] == f"{IMAGE}@{DIGEST}"
    assert annotations["original-image.ksnap.dev/web"] == "registry.example/web:1"
    assert "restore.ksnap.dev/side" not in annotations
    return str(annotations["checkpoint.ksnap.dev/web"])


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until it is so. API servers learn of a configuration some time after it was written."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.3)


@asynccontextmanager
async def administrator(server: RunningServer) -> AsyncIterator[Client]:
    async with open_client(server.url, server.token) as client:
        yield client


async def started(client: Client, hook: str, cluster: str) -> None:
    made = await client.post("/snaphook", {"name": hook, "cluster_name": cluster})
    assert made.status == 200, made
    answer = await client.post(f"/snaphook/{hook}/start")
    assert (answer.status, answer.body["is_running"]) == (200, True), answer


async def test_pods_of_frozen_workloads_are_patched_and_no_others(place: Place) -> None:
    """From the start of a hook to its end, over a restart of the server in between."""
    name = f"snaphook-one-{place.first}"
    with place.server() as server:
        place.know_the_cluster(server)
        async with administrator(server) as client:
            await started(client, "one", place.first)
            await eventually(lambda: checkpoint_of(place.tried(owned("web"))) == f"{1:020x}")
            for other in (
                owned("web", value="false"),
                owned("web", label="unlabelled"),
                owned("other"),
                bare("solo"),  # the second cluster's, which this hook is not asked for
            ):
                assert checkpoint_of(place.tried(other)) is None, other
            alias = place.tried(owned("web", label="snap.weaversoft.io/snap"))
            assert checkpoint_of(alias) == f"{1:020x}"

            await started(client, "two", place.second)
            await eventually(lambda: checkpoint_of(place.tried(bare("solo"))) == f"{2:020x}")
            assert checkpoint_of(place.tried(owned("web"))) == f"{1:020x}", "each hook by its path"

            tested = (await client.get("/snaphook/one/test-connectivity")).body
            assert (tested["success"], tested["test_results"]["problem"]) == (True, ""), tested
            place.kubectl("delete", CONFIGURATIONS, name)
            missing = (await client.get("/snaphook/one/test-connectivity")).body
            assert missing["test_results"]["configuration_differences"] in (["missing"], []), "it may be back already"
            await eventually(lambda: place.configuration(name))
            weaken = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]
            place.kubectl("patch", CONFIGURATIONS, name, "--type=json", f"--patch={json.dumps(weaken)}")
            await eventually(lambda: _policies(place.configuration(name)) == {"Ignore"})
    assert place.configuration(name) is not None, "a restart of the server is none of the cluster's"
    assert checkpoint_of(place.tried(owned("web"))) is None, "without ksnap a pod starts cold"
    with place.server() as server:
        await eventually(lambda: checkpoint_of(place.tried(owned("web"))) == f"{1:020x}")
        async with administrator(server) as client:
            for _twice in range(2):
                assert (await client.post("/snaphook/one/stop")).body["is_running"] is False
            assert place.configuration(name) is None
            assert (await client.delete("/snaphook/two")).status == 200
            assert place.configuration(f"snaphook-two-{place.second}") is None
            audit = "".join(server.log)
            assert '"snaphook_stopped"' in audit
    assert checkpoint_of(place.tried(owned("web"))) is None


def _policies(found: dict[str, Any] | None) -> set[str]:
    return {each["failurePolicy"] for each in found["webhooks"]} if found else set()


async def test_certificates_change_under_a_stream_of_pods(place: Place) -> None:
    """Each pod is patched, so each admission has reached the hook; and each new connection is trusted."""
    await rotated(place, life_s=30, times=2)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
async def test_certificates_of_two_minutes_change_ten_times(place: Place) -> None:
    await rotated(place, life_s=120, times=10)


async def rotated(place: Place, *, life_s: int, times: int) -> None:
    place.environment["KSNAP_HOOK_CERTIFICATE_LIFE_S"] = str(life_s)
    with place.server() as server:
        place.know_the_cluster(server)
        async with administrator(server) as client, connected(place) as api, aiohttp.ClientSession() as session:
            await started(client, "one", place.first)
            await eventually(lambda: checkpoint_of(place.tried(owned("web"))))
            hook = (await client.get("/snaphook/one")).body
            installed = place.configuration(f"snaphook-one-{place.first}")
            assert installed is not None
            bundle = base64.b64decode(installed["webhooks"][0]["clientConfig"]["caBundle"]).decode()
            expiries, pods = set[str](), 0
            async with asyncio.timeout(times * life_s + WAIT_S):
                while len(expiries) <= times:
                    pod = await api.post(pods_path(place.namespace), owned("web"), what="pod", params={"dryRun": "All"})
                    assert checkpoint_of(pod) is not None, f"after {pods} pods"
                    pods += 1
                    fresh = ssl.create_default_context(cadata=bundle)
                    async with session.get(hook["webhook_url"], ssl=fresh, headers={"Connection": "close"}) as answer:
                        assert answer.status == 405
                    expiries.add((await client.get("/snaphook/one")).body["certificate_expires_at"])
            metrics = (await client.get("/metrics")).text
            await client.delete("/snaphook/one")
    counted = next(line for line in metrics.splitlines() if "admissions_total" in line and 'outcome="runtime"' in line)
    assert float(counted.split()[-1]) >= pods


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[ClusterConnection]:
    kubeconfig = SecretStr(place.cluster.kubeconfig.read_text())
    connection = await ClusterConnection.open(ClusterConfig("dev", "", AuthType.KUBECONFIG, kubeconfig))
    try:
        yield connection
    finally:
        await connection.close()
