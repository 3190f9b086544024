"""A server that knows the development cluster, for tests of the whole loop; it can be killed and started again.

Cluster `plain` has no registry: its archives go to the blob store. Cluster `pushing` has the registry with a password.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.stack import agents
from ksnap.oci.signing_keys import new_signing_key, parse_signing_key
from tests.parties.server import RunningServer, running_server
from tests.server.client import Answer, Client, open_client

PLAIN = "plain"
PUSHING = "pushing"
# A machine with two cores runs cluster, agents, server and tests at once.
PATIENCE_S = 240.0
ARCHIVES = "/var/lib/kubelet/checkpoints"
REGISTRY_CA = "test-registry-ca"


@dataclass(slots=True)
class Snap:
    """The server, and its administrator's client. Made by `open_snap`."""

    cluster: ClusterInfo
    data_dir: Path
    environment: Mapping[str, str]
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _server: RunningServer | None = None
    _client: Client | None = None

    @property
    def server(self) -> RunningServer:
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        starting = running_server(self.data_dir, self.environment)
        self._server = await asyncio.to_thread(starting.__enter__)
        self._stack.callback(starting.__exit__, None, None, None)
        token = await asyncio.to_thread(lambda: self.server.token)
        self._client = await self._stack.enter_async_context(open_client(self.server.url, token))

    async def stop(self) -> None:
        """Orderly, as SIGTERM does."""
        await asyncio.to_thread(self.server.stop)
        await self.close()

    async def kill(self) -> None:
        """At once, as kill -9 does."""
        self.server.process.kill()
        await asyncio.to_thread(self.server.process.wait)
        await self.close()

    async def close(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        self._server = self._client = None

    async def call(self, method: str, path: str, body: object = None, **query: str | int) -> Answer:
        assert self._client is not None
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        # kubectl blocks the tests' loop for longer than the server keeps an idle connection.
        headers = {"Connection": "close"}
        return await self._client.call(method, path, body, params=query, timeout=timeout, headers=headers)

    async def ok(self, method: str, path: str, body: object = None, **query: str | int) -> dict[str, Any]:
        """A call that must succeed."""
        answer = await self.call(method, path, body, **query)
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    async def add_registry(self, name: str, url: str, **fields: str) -> None:
        await self.ok("POST", "/config/registry/create", {"name": name, "url": url, **fields})

    async def add_cluster(self, name: str, **fields: Any) -> None:
        body = {
            "name": name,
            "api_server_url": self.cluster.api_server,
            "kubeconfig_content": base64.b64encode(self.cluster.kubeconfig.read_bytes()).decode(),
        }
        await self.ok("POST", "/config/clusters/create", body | fields)

    async def freeze(self, namespace: str, pod: str, *, cluster: str = PUSHING, **fields: str) -> dict[str, Any]:
        body = {"pod_name": pod, "namespace": namespace, "cluster_name": cluster, **fields}
        return await self.ok("POST", "/checkpoint/kubelet/checkpoint", body)

    async def begin(self, namespace: str, pod: str, *, cluster: str = PUSHING) -> tuple[str, str]:
        """Start freezing and don't wait: the job's id and the checkpoint's."""
        body = {"pod_name": pod, "namespace": namespace, "cluster_name": cluster}
        begun = await self.ok("POST", "/checkpoint/kubelet/checkpoint", body, wait="false")
        return begun["job_id"], begun["checkpoint_id"]

    async def stage(self, job_id: str, stage: str) -> None:
        """Wait until a job has come to a stage."""
        after, deadline = 0, time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            reply = await self.ok("GET", f"/jobs/{job_id}/events", after=after, wait_s=5)
            for event in reply["events"]:
                after = event["id"]
                if event["stage"] == stage:
                    return
            assert reply["status"] == "running", f"the job ended before it came to {stage}: {reply}"
        raise TimeoutError(stage)

    async def ended(self, job_id: str) -> dict[str, Any]:
        """A job's record, once it has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            job = await self.ok("GET", f"/jobs/{job_id}")
            if job["status"] != "running":
                return job
            await asyncio.sleep(0.2)
        raise TimeoutError(job_id)

    async def image_of(self, checkpoint_id: str) -> tuple[str, str]:
        """Reference and digest of a checkpoint's image."""
        record = await self.ok("GET", f"/checkpoint/{checkpoint_id}")
        return record["image"], record["image_digest"]

    def archives_on(self, node: str, namespace: str) -> list[str]:
        """Archives of a namespace's pods on a node: there must be none when all is done."""
        return sorted(path.name for path in self.cluster.node(node).path(ARCHIVES).glob(f"*_{namespace}-*"))

    def blobs(self) -> list[str]:
        """What the blob store holds."""
        return sorted(path.name for path in (self.data_dir / "blobs").rglob("*") if path.is_file())


@asynccontextmanager
async def open_snap(
    cluster: ClusterInfo,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    node_setup: bool = True,
    chart: Mapping[str, Any] | None = None,
) -> AsyncIterator[Snap]:
    """A server with both clusters and both registries, and this tree's agents on every node."""
    await asyncio.to_thread(lambda: agents.install(cluster, node_setup=node_setup, more=chart))
    snap = Snap(cluster, folder / "data", environment or {})
    try:
        await snap.start()
        for name, registry in cluster.registries.items():
            account = {"username": registry.username, "password": registry.password()} if registry.username else {}
            await snap.add_registry(name, registry.host, ca_cert=registry.ca_file.read_text(), **account)
        await snap.add_cluster(PLAIN)
        await snap.add_cluster(PUSHING, registry_name="private", repo="snap-tests")
        yield snap
    finally:
        await snap.close()


def access_fields(cluster: ClusterInfo, name: str) -> dict[str, str]:
    """A registry's account and authority, as a configuration takes them."""
    registry = cluster.registries[name]
    return {"username": registry.username, "password": registry.password(), "ca_cert": registry.ca_file.read_text()}


def trusted(cluster: ClusterInfo, kubectl: Kubectl, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """For `open_snap`: the settings of a server, and the values of agents that trust its key, know their cluster's name
    and may read pull secrets. So pods of a frozen workload are restored without the server."""
    key = _signing_key()
    (folder / "signing.pem").write_text(key.get_secret_value())
    authorities = "".join(each.ca_file.read_text() for each in cluster.registries.values())
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": agents.NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": REGISTRY_CA, "namespace": agents.NAMESPACE},
         "data": {"ca.crt": authorities}},
    )  # fmt: skip
    chart = {
        "report": {"clusterName": PUSHING},
        "trust": {"publicKeys": {"server.pem": parse_signing_key(key).public_key.pem}},
        "prefetch": {"pullSecrets": True, "caConfigMap": REGISTRY_CA},
    }
    return {"KSNAP_SIGNING_KEY_FILE": str(folder / "signing.pem")}, chart


@cache
def _signing_key() -> SecretStr:
    """One for all modules: a node that trusted another one before learns of a new key only after a minute or two."""
    return new_signing_key()
