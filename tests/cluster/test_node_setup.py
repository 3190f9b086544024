"""The chart's set-up of the nodes, and what is left of it: nothing, and no running pod has noticed."""

import asyncio
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.cluster.commands import run
from dev.cluster.info import ClusterInfo, NodeInfo, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.tools import tool
from dev.cluster.workloads import counter_pod, webapp_pod
from dev.stack import agents
from ksnap.agent.node_setup.cpu import cpu_level
from tests.cluster.snap import PUSHING, Snap, open_snap

pytestmark = [pytest.mark.timeout(600)]

WRITTEN = {
    "etc/containerd/conf.d/50-ksnap.toml",
    *(f"opt/ksnap/bin/{name}" for name in ("ksnap-runc", "ksnap-runc.json", "self-test.json")),
}

CPU = cpu_level(platform.machine(), Path("/proc/cpuinfo").read_text())


def files_of(node: NodeInfo) -> dict[str, str]:
    """Every file that the set-up might touch, with its content's hash and its mode."""
    root = node.path("/")
    found = [each for top in ("etc/containerd", "opt/ksnap") for each in (root / top).rglob("*") if each.is_file()]
    return {
        str(each.relative_to(root)): f"{each.stat().st_mode:o} {hashlib.sha256(each.read_bytes()).hexdigest()}"
        for each in found
    }


def uninstall(cluster: ClusterInfo) -> None:
    helm: list[str | Path] = [tool("helm"), "uninstall", "ksnap", f"--namespace={agents.NAMESPACE}"]
    options = ["--ignore-not-found", "--wait", "--timeout=300s", f"--kubeconfig={cluster.kubeconfig}"]
    run([*helm, *options], timeout_s=320)


def labels_of(kubectl: Kubectl, node: str) -> dict[str, str]:
    """Those of ours."""
    labels = json.loads(kubectl("get", "node", node, "--output=json"))["metadata"]["labels"]
    return {name: value for name, value in labels.items() if name.startswith("ksnap.dev/")}


def test_install_and_uninstall_leave_a_node_as_it_was(cluster: ClusterInfo, kubectl: Kubectl, namespace: str) -> None:
    uninstall(cluster)
    before = {node.name: files_of(node) for node in cluster.nodes}
    for node in cluster.nodes:
        kubectl.apply(counter_pod(node.name, namespace, cluster.images["counter"], node=node.name))
        kubectl.wait_ready(namespace, node.name)
    running = {node.name: kubectl.get(namespace, "pod", node.name)["status"] for node in cluster.nodes}

    def take_back_by(how: Callable[[], None]) -> None:
        agents.install(cluster)
        for node in cluster.nodes:
            assert set(files_of(node)) - set(before[node.name]) == WRITTEN
            assert labels_of(kubectl, node.name) == {"ksnap.dev/restore": "runtime", "ksnap.dev/cpu": CPU}
        how()
        for node in cluster.nodes:
            assert files_of(node) == before[node.name]
            assert labels_of(kubectl, node.name) == {}
            status = kubectl.get(namespace, "pod", node.name)["status"]
            assert status["containerStatuses"] == running[node.name]["containerStatuses"], "the pod has not noticed"

    take_back_by(lambda: agents.install(cluster, node_setup=False))
    take_back_by(lambda: uninstall(cluster))
    kubectl("wait", "pods", "--all", f"--namespace={agents.NAMESPACE}", "--for=delete", "--timeout=60s", timeout_s=70)


async def test_the_set_up_waits_for_dumps(
    cluster: ClusterInfo, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """One that the agent has asked for, and one that nobody told it of; containerd is restarted after both."""
    await asyncio.to_thread(agents.install, cluster, node_setup=False)
    # The agent freezes one container at a time: the other node's has room of its own.
    for pod, where in (("ours", "node1"), ("foreign", "node2")):
        kubectl.apply(webapp_pod(pod, namespace, cluster.images["webapp"], node=where, memory_mb=1024, start_s=0))
    kubectl.wait_ready(namespace, "ours", "foreign", timeout_s=120)
    tokens = {pod: kubectl.fetch(namespace, pod)["token"] for pod in ("ours", "foreign")}
    restarted = {node.name: containerd_of(node) for node in cluster.nodes}
    async with open_snap(cluster, tmp_path, node_setup=False) as snap:
        body = {"pod_name": "ours", "namespace": namespace, "cluster_name": PUSHING}
        async with asyncio.TaskGroup() as group:
            frozen = group.create_task(snap.call("POST", "/checkpoint/kubelet/checkpoint", body))
            archive = group.create_task(
                asyncio.to_thread(kubectl.checkpoint, namespace, "foreign", "webapp", timeout_s=120)
            )
            await asyncio.sleep(1.5)
            await asyncio.to_thread(agents.install, cluster)
        assert frozen.result().body["success"] is True, frozen.result()
        archive.result().unlink()
    for pod, token in tokens.items():
        (status,) = kubectl.get(namespace, "pod", pod)["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0), pod
        assert kubectl.fetch(namespace, pod)["token"] == token
    for node in cluster.nodes:
        assert containerd_of(node) != restarted[node.name], "the set-up did restart it"


def containerd_of(node: NodeInfo) -> str:
    return node_exec(node, ["pgrep", "--exact", "--oldest", "containerd"])


FAILED = "self-test on this node failed: no criu in PATH"


async def reason_of(snap: Snap, node: str) -> str:
    """Why a node restores as it does, as its agent last said; an agent that has just been replaced may not have."""
    nodes = (await snap.ok("GET", f"/cluster/status/{PUSHING}"))["nodes"]
    return next(str(each["restore_reason"]) for each in nodes if each["name"] == node)


async def test_a_node_that_fails_its_self_test_gets_no_pod_of_the_class(
    cluster: ClusterInfo, kubectl: Kubectl, tmp_path: Path
) -> None:
    """It freezes and restores nothing without CRIU; all else on it goes on."""
    node = cluster.node("node2")
    criu = Path(node_exec(node, ["which", "criu"]).strip())
    aside = criu.with_name("criu.aside")
    await asyncio.to_thread(agents.install, cluster, node_setup=False)
    node_exec(node, ["mv", str(criu), str(aside)])
    try:
        await asyncio.to_thread(agents.install, cluster)
        assert labels_of(kubectl, "node1")["ksnap.dev/restore"] == "runtime"
        assert labels_of(kubectl, "node2")["ksnap.dev/restore"] == "none"
        async with open_snap(cluster, tmp_path) as snap:
            async with asyncio.timeout(60):
                while FAILED not in await reason_of(snap, "node2"):  # noqa: ASYNC110 - the report comes when it comes
                    await asyncio.sleep(1)
    finally:
        node_exec(node, ["mv", str(aside), str(criu)])
        await asyncio.to_thread(agents.install, cluster, node_setup=False)
        await asyncio.to_thread(agents.install, cluster)
