"""Pods that wish to be restored on a node that the test has prepared as it likes, and what becomes of them.

The server's own restore is one job, from the prefetch to the proof; a test that takes something away in between does
the steps by itself, with the same calls of the same agent:

    wishes = Wishes(cluster, kubectl, "node2")
    await wishes.prefetched(image, "copy")
    start = await wishes.started(wishes.pod("copy", namespace, image))
    await wishes.assert_cold(start, "CriuMissing")
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dev.cluster.info import ClusterInfo, NodeInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from dev.stack.agents import NAMESPACE
from ksnap.errors import KsnapError, NotFound
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.pod_proxy import PodProxy
from ksnap.kube.reviews import ServiceAccountTokens
from ksnap.model.checkpoint_key import RUNTIME_CLASS
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.model.restore_annotations import RESTORE_DOMAIN
from ksnap.node.client import AgentClient
from ksnap.node.protocol import (
    AGENT_PORT,
    AGENT_SELECTOR,
    AUDIENCE,
    AUTHORIZATION_HEADER,
    SERVER_SERVICE_ACCOUNT,
    ImageRequest,
    ImageState,
    PermittedPod,
)

CONTAINER = "webapp"
NODE_FILE = "/opt/ksnap/bin/ksnap-runc.json"
RECORDS = "/run/ksnap/runtime"
IMAGES = "/var/lib/ksnap/images"
DEADLINE_S = 30.0
"""ksnap-runc's own (runtime/node.go), where the node's file names none."""
# An event is told in the background; of an agent that was away, by the next one's look at the records.
_EVENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """A pod that became Ready."""

    namespace: str
    pod: str
    seconds: float
    """From its creation."""
    token: str
    container_id: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """One node on which pods wish to be restored."""

    cluster: ClusterInfo
    kubectl: Kubectl
    node_name: str

    @property
    def node(self) -> NodeInfo:
        return self.cluster.node(self.node_name)

    def pod(self, name: str, namespace: str, image: ImageRef | None, *, start_s: float = 2) -> dict[str, Any]:
        """The web app in our runtime class, with a volume; it wishes to be restored if an image is given."""
        wish = {f"{RESTORE_DOMAIN}/{CONTAINER}": str(image)} if image else None
        source = self.cluster.images["webapp"]
        pod = webapp_pod(name, namespace, source, node=self.node_name, memory_mb=16, start_s=start_s, annotations=wish)
        pod["spec"]["runtimeClassName"] = RUNTIME_CLASS
        pod["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
        return pod

    async def started(self, pod: dict[str, Any]) -> Start:
        """Create it and wait until it is Ready. In a thread: parties of the test's own live in its loop."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        begun = time.monotonic()
        await asyncio.to_thread(self.kubectl.apply, pod)
        await asyncio.to_thread(self.kubectl.wait_ready, namespace, name, timeout_s=120)
        seconds = time.monotonic() - begun
        status = (await asyncio.to_thread(self.kubectl.get, namespace, "pod", name))["status"]["containerStatuses"][0]
        assert status["restartCount"] == 0, status
        token = (await asyncio.to_thread(self.kubectl.fetch, namespace, name))["token"]
        return Start(namespace, name, seconds, token, status["containerID"].rpartition("://")[2])

    def record(self, start: Start) -> dict[str, Any]:
        """What ksnap-runc wrote down of it."""
        found: dict[str, Any] = json.loads(self.node.path(f"{RECORDS}/{start.container_id}.json").read_text())
        return found

    async def told(self, start: Start) -> dict[str, str]:
        """Our events on the pod, reason -> message, once there is one."""
        deadline = time.monotonic() + _EVENT_S
        selector = f"--field-selector=involvedObject.name={start.pod}"
        while True:
            text = await asyncio.to_thread(
                self.kubectl, "get", "events", f"--namespace={start.namespace}", selector, "--output=json"
            )
            events = json.loads(text)["items"]
            if ours := [each for each in events if each["reason"] in {"Restored", "StartedCold"}]:
                assert len(ours) == 1, "a start is told once"
                return {each["reason"]: each["message"] for each in ours}
            assert time.monotonic() < deadline, f"nothing was told of {start.pod}"
            await asyncio.sleep(0.2)

    async def assert_cold(self, start: Start, reason: str, *, frozen_token: str) -> str:
        """It started anew and says why, in the record and in an event; the event's text."""
        record = self.record(start)
        assert (record["restored"], record["reason"]) == (False, reason), record
        assert start.token != frozen_token
        told = await self.told(start)
        assert told.keys() == {"StartedCold"}
        assert told["StartedCold"].startswith(f"{reason}: "), told
        return told["StartedCold"]

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[AgentClient]:
        """The node's agent, called as the server calls it."""
        config = ClusterConfig(
            name="test",
            api_server_url=self.cluster.api_server,
            auth_type=AuthType.KUBECONFIG,
            credentials=SecretStr(self.cluster.kubeconfig.read_text()),
            agent_namespace=NAMESPACE,
        )
        connection = await ClusterConnection.open(config)
        tokens = ServiceAccountTokens(
            connection, namespace=NAMESPACE, account=SERVER_SERVICE_ACCOUNT, audience=AUDIENCE
        )
        try:
            yield AgentClient(
                PodProxy(
                    connection,
                    namespace=NAMESPACE,
                    pod=self.agent_pod()["metadata"]["name"],
                    port=AGENT_PORT,
                    header=AUTHORIZATION_HEADER,
                    tokens=tokens,
                )
            )
        finally:
            await connection.close()

    def agent_pod(self) -> dict[str, Any]:
        """The agent's pod on the node."""
        found = json.loads(
            self.kubectl("get", "pods", f"--namespace={NAMESPACE}", f"--selector={AGENT_SELECTOR}", "--output=json")
        )
        return next(
            each
            for each in found["items"]
            if each["spec"].get("nodeName") == self.node_name and "deletionTimestamp" not in each["metadata"]
        )

    def agent_pid(self) -> int:
        """The agent's process, as the host numbers it."""
        uid = self.agent_pod()["metadata"]["uid"]
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and _is_agent(folder, uid):
                return int(folder.name)
        raise AssertionError(f"no agent runs on {self.node_name}")

    async def prefetched(
        self, image: ImageRef, access: RegistryAccess, namespace: str, pod: str, *, public_keys: str, wait: bool = True
    ) -> ImageState | KsnapError:
        """Have the image fetched for that pod, from nothing; how that ended, or began."""
        digest = image.digest or ""
        request = ImageRequest(
            repository=f"{image.host}/{image.repository}",
            registry=access,
            public_keys=public_keys,
            pods=(PermittedPod(namespace=namespace, pod=pod, container=CONTAINER),),
        )
        async with self.agent() as agent:
            await self.forgotten(agent, digest)
            state = await agent.prefetch_image(digest, request)
            if not wait:
                return state
            try:
                return await agent.image_ready(digest)
            except KsnapError as error:
                return error

    async def forgotten(self, agent: AgentClient, digest: str) -> None:
        """The node knows nothing of the image, and holds nothing against it."""
        try:
            await agent.drop_image(digest)
            await agent.clear_failures(digest)
        except NotFound:
            return


def _is_agent(process: Path, pod_uid: str) -> bool:
    """By its cgroup and its command line; one that has just ended is none."""
    try:
        return pod_uid in (process / "cgroup").read_text() and b"ksnap.agent" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def registry_access(cluster: ClusterInfo, name: str) -> RegistryAccess:
    """A registry of the cluster's, and the account there."""
    registry = cluster.registries[name]
    return RegistryAccess(
        host=registry.host,
        username=registry.username,
        password=SecretStr(registry.password()),
        ca_cert=registry.ca_file.read_text(),
    )
