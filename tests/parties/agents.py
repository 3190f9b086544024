"""This tree's agents on the development cluster, as a release of their own beside any other, and the way to them.

    release = install(cluster, kubectl, {"capture.orphanTtlSeconds": "8"})
    async with release.agent("node2") as agent:      # AgentClient through the API server's pod proxy
        await agent.node_report()

Each release keeps its journal in a folder of its own, so that it never touches another's captures.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from dev.cluster import agent_image
from dev.cluster.cache import Cache
from dev.cluster.commands import run
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from dev.cluster.tools import tool
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.pod_proxy import PodProxy
from ksnap.kube.reviews import ServiceAccountTokens
from ksnap.node.client import AgentClient
from ksnap.node.protocol import AGENT_PORT, AUDIENCE, AUTHORIZATION_HEADER, SERVER_SERVICE_ACCOUNT

CHART = Path(__file__).parents[2] / "charts" / "ksnap"
RELEASE = "agent-test"
STATE_DIR = "/var/lib/ksnap-agent-test"
CRIU_OPTIONS = "/etc/criu/runc.conf"
CHECKPOINTS_DIR = "/var/lib/kubelet/checkpoints"


@dataclass(frozen=True, slots=True)
class AgentRelease:
    """The installed chart."""

    cluster: ClusterInfo
    kubectl: Kubectl
    helm: Path
    image: str
    criu_options: dict[str, str]
    """What each node's file of CRIU's options held before."""

    def upgrade(self, values: Mapping[str, str]) -> None:
        """Install, or change to exactly these values, and wait until every node's agent is ready."""
        repository, _, digest = self.image.partition("@")
        wanted = {
            "image.repository": repository,
            "image.digest": digest,
            "capture.stateDir": STATE_DIR,
            "maxUnavailable": "100%",
            **values,
        }
        chosen = [f"--set={name}={value}" for name, value in wanted.items()]
        where = [f"--namespace={RELEASE}", "--create-namespace", f"--kubeconfig={self.cluster.kubeconfig}"]
        run([self.helm, "upgrade", "--install", RELEASE, CHART, *where, *chosen], timeout_s=60)
        self.kubectl(
            "rollout", "status", f"daemonset/{RELEASE}-agent", f"--namespace={RELEASE}", "--timeout=120s", timeout_s=130
        )

    def uninstall(self) -> None:
        """Remove it, and what its agents remembered on the nodes."""
        where = [f"--namespace={RELEASE}", f"--kubeconfig={self.cluster.kubeconfig}"]
        run([self.helm, "uninstall", RELEASE, *where, "--wait", "--timeout=60s"], timeout_s=90)
        for node in self.cluster.nodes:
            shutil.rmtree(node.path(STATE_DIR), ignore_errors=True)
            if self.criu_options[node.name]:
                # Another release's agents had set them; ours took them along.
                node.path(CRIU_OPTIONS).write_text(self.criu_options[node.name])

    def pod(self, node: str) -> str:
        """The name of the agent's pod on a node, once it is ready."""
        deadline = time.monotonic() + 60
        while True:
            pods = json.loads(self.kubectl("get", "pods", f"--namespace={RELEASE}", "--output=json"))["items"]
            for pod in pods:
                ready = [each for each in pod["status"].get("conditions", []) if each["type"] == "Ready"]
                here = pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]
                if here and ready and ready[0]["status"] == "True":
                    return str(pod["metadata"]["name"])
            if time.monotonic() > deadline:
                raise TimeoutError(f"no agent became ready on {node}")
            time.sleep(0.2)

    @asynccontextmanager
    async def agent(
        self, node: str, *, account: str = SERVER_SERVICE_ACCOUNT, audience: str = AUDIENCE
    ) -> AsyncIterator[AgentClient]:
        """The agent of a node, called with a token of this account and audience."""
        async with self.proxy(node, account=account, audience=audience) as proxy:
            yield AgentClient(proxy)

    @asynccontextmanager
    async def proxy(
        self, node: str, *, account: str = SERVER_SERVICE_ACCOUNT, audience: str = AUDIENCE
    ) -> AsyncIterator[PodProxy]:
        """The bare way to it."""
        config = ClusterConfig(
            name="test",
            api_server_url=self.cluster.api_server,
            auth_type=AuthType.KUBECONFIG,
            credentials=SecretStr(self.cluster.kubeconfig.read_text()),
            agent_namespace=RELEASE,
        )
        connection = await ClusterConnection.open(config)
        try:
            yield PodProxy(
                connection,
                namespace=RELEASE,
                pod=self.pod(node),
                port=AGENT_PORT,
                header=AUTHORIZATION_HEADER,
                tokens=ServiceAccountTokens(connection, namespace=RELEASE, account=account, audience=audience),
            )
        finally:
            await connection.close()

    def kill(self, node: str) -> None:
        """kill -9 of the agent's process; its pod goes too, so that no back-off delays the next one."""
        name = self.pod(node)
        for pid in self._pids(name):
            os.kill(pid, signal.SIGKILL)
        self.kubectl("delete", "pod", name, f"--namespace={RELEASE}", "--grace-period=0", "--force", timeout_s=60)

    def resident_bytes(self, node: str) -> int:
        """What the agent's process holds in memory now."""
        (pid,) = self._pids(self.pod(node))
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def mounts(self, node: str) -> dict[str, str]:
        """What is mounted in the agent, and with which options."""
        (pid,) = self._pids(self.pod(node))
        lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        return {words[4]: words[5] for words in lines}

    def _pids(self, pod: str) -> list[int]:
        return _processes_of(self.kubectl.get(RELEASE, "pod", pod)["metadata"]["uid"], b"ksnap.agent")

    def journal(self, node: str, capture_id: str) -> dict[str, object] | None:
        """A capture's entry as it is on the disk now."""
        path = self.cluster.node(node).path(f"{STATE_DIR}/journal/{capture_id}.json")
        try:
            found: dict[str, object] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return found

    def archives(self, node: str, namespace: str) -> list[str]:
        """Archives of a namespace's pods that lie on a node."""
        folder = self.cluster.node(node).path(CHECKPOINTS_DIR)
        return sorted(path.name for path in folder.glob(f"checkpoint-*_{namespace}-*"))


def install(cluster: ClusterInfo, kubectl: Kubectl, values: Mapping[str, str]) -> AgentRelease:
    """Build the image of this tree if need be, and install the chart with these values."""
    cache = Cache(read_settings().cache)
    files = {node.name: node.path(CRIU_OPTIONS) for node in cluster.nodes}
    options = {name: path.read_text() if path.exists() else "" for name, path in files.items()}
    release = AgentRelease(cluster, kubectl, tool("helm"), agent_image.ensure(cluster, cache), options)
    release.upgrade(values)
    return release


def _processes_of(pod_uid: str, word: bytes) -> list[int]:
    """Processes of a pod, by their cgroup, whose command line has the word."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if pod_uid in (folder / "cgroup").read_text() and word in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found
