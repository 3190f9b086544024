"""What real nodes lack and what stands in a real pod's way: containerd 2.4.2, which restores no image, and 2.1.9."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod
from dev.stack import agents
from ksnap.node.protocol import AGENT_SELECTOR
from tests.cluster.kubelets import without_checkpoints
from tests.cluster.snap import PLAIN, Snap, open_snap

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

# An agent that has just started tries within seconds; its report is asked for anew after some more.
TRIED_S = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snap")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, folder: Path) -> AsyncIterator[Snap]:
    async with open_snap(cluster, folder) as opened:
        yield opened


def ids(findings: list[dict[str, str]]) -> dict[str, str]:
    return {each["id"]: each["level"] for each in findings}


async def node_when(
    snap: Snap, name: str, is_so: Callable[[dict[str, Any]], bool], *, patience_s: float = TRIED_S
) -> dict[str, Any]:
    """What is told of a node, once it is what the test waits for; the last that was told if that never comes."""
    deadline = time.monotonic() + patience_s
    while True:
        reply = await snap.ok("GET", f"/cluster/{PLAIN}/doctor")
        node: dict[str, Any] = next(each for each in reply["nodes"] if each["name"] == name)
        if is_so(node) or time.monotonic() > deadline:
            return node
        await asyncio.sleep(1)


def is_well(node: dict[str, Any]) -> bool:
    return bool(node["agent_answers"] and node["checkpoint"]["able"])


def lines(node: dict[str, Any], part: str, finding: str) -> str:
    """A finding's remedy."""
    return next(str(each["remedy"]) for each in node[part]["findings"] if each["id"] == finding)


async def test_each_node_says_what_it_can_and_what_it_lacks(snap: Snap, cluster: ClusterInfo) -> None:
    for each in cluster.nodes:
        node = await node_when(snap, each.name, is_well)
        assert ids(node["findings"]) == {"agent-answers": "ok"}, node
        assert ids(node["checkpoint"]["findings"]) == {"freeze-works": "ok"}, node
        assert node["container_runtime"].endswith(each.containerd.removeprefix("v"))
        assert (node["restore"]["runtime"], node["restore"]["image"]) == (True, each.restores_images)
        assert ids(node["restore"]["findings"]) == {"restores-by-runtime": "ok"}


@pytest.mark.thorough
async def test_each_node_says_what_to_do_where_it_was_not_set_up(snap: Snap, cluster: ClusterInfo) -> None:
    await asyncio.to_thread(agents.install, cluster, node_setup=False)
    try:
        for each in cluster.nodes:
            node = await node_when(snap, each.name, lambda node: is_well(node) and not node["restore"]["runtime"])
            found = ids(node["restore"]["findings"])
            if each.restores_images:
                assert found == {"restores-by-image": "ok", "runtime-engine-missing": "warning"}
            else:
                assert found == {
                    "restores-by-nothing": "problem",
                    "runtime-engine-missing": "warning",
                    "image-engine-not-for": "warning",
                }
            assert "--set nodeSetup.enabled=true" in lines(node, "restore", "runtime-engine-missing")
    finally:
        await asyncio.to_thread(agents.install, cluster)


async def test_a_plain_pod_has_nothing_known_in_its_way(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node="node2"))
    kubectl.wait_ready(namespace, "count")
    await node_when(snap, "node2", is_well)
    reply = await snap.ok("GET", f"/cluster/{PLAIN}/doctor/pod", namespace=namespace, pod_name="count")
    assert (reply["node_name"], reply["problems"], len(reply["looked_at"])) == ("node2", 0, 2)
    assert ids(reply["findings"]) == {"node-freezes": "ok"}
    [container] = reply["containers"]
    assert ids(container["findings"]) == {
        "io-uring": "warning",
        "tcp-connections": "ok",
        "inside-not-known": "unknown",
    }, "the API server adds the account's token, which is configuration, and no profile"


async def test_a_pod_that_cannot_be_frozen_is_told_why_before_it_is_tried(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """A pod that no node takes: all is told from its spec."""
    pod = counter_pod("stuck", namespace, cluster.images["counter"], node="nowhere")
    pod["spec"]["hostUsers"] = False
    pod["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    container = pod["spec"]["containers"][0]
    container |= {"tty": True, "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    container["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    kubectl.apply(pod)
    reply = await snap.ok("GET", f"/cluster/{PLAIN}/doctor/pod", namespace=namespace, pod_name="stuck")
    assert ids(reply["findings"]) == {"pod-not-running": "problem", "user-namespace": "problem"}
    found = ids(reply["containers"][0]["findings"])
    assert found["container-not-running"] == found["gpu"] == "problem"
    assert found["terminal"] == found["volume-empty"] == "warning"
    assert (reply["node_name"], reply["problems"]) == ("", 4)


async def test_a_pod_that_is_not_there_is_not_found(snap: Snap, namespace: str) -> None:
    for where in (namespace, "no-such-namespace"):
        answer = await snap.call("GET", f"/cluster/{PLAIN}/doctor/pod", namespace=where, pod_name="none")
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), answer


@pytest.mark.usefixtures("snap")
async def test_nodes_without_an_agent_are_told_of_too(
    cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lonely = Snap(cluster, tmp_path_factory.mktemp("lonely") / "data", {"KSNAP_AGENT_NAMESPACE": "nowhere"})
    await lonely.start()
    try:
        await lonely.add_cluster(PLAIN)
        reply = await lonely.ok("GET", f"/cluster/{PLAIN}/doctor")
        assert [each["name"] for each in reply["nodes"]] == sorted(each.name for each in cluster.nodes)
        for node in reply["nodes"]:
            assert ids(node["findings"]) == {"agent-missing": "problem"}
            assert "--namespace nowhere" in node["findings"][0]["remedy"]
    finally:
        await lonely.close()


@pytest.mark.thorough
async def test_a_kubelet_without_the_feature_is_told_with_the_line_that_it_lacks(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl
) -> None:
    """Twice a kubelet is restarted, and an agent, which tries at its start."""

    def restart_agent() -> None:
        on_node = ("--selector", AGENT_SELECTOR, "--field-selector=spec.nodeName=node1")
        kubectl("delete", "pod", f"--namespace={agents.NAMESPACE}", *on_node, timeout_s=120)

    def lacks_it(node: dict[str, Any]) -> bool:
        return "kubelet-offers-no-checkpoints" in ids(node["checkpoint"]["findings"])

    try:
        with without_checkpoints(cluster, kubectl, "node1"):
            restart_agent()
            node = await node_when(snap, "node1", lacks_it)
            assert lacks_it(node), node
            assert node["checkpoint"]["able"] is False
            remedy = lines(node, "checkpoint", "kubelet-offers-no-checkpoints")
            assert "featureGates:\n  ContainerCheckpoint: true" in remedy
    finally:
        restart_agent()
        node = await node_when(snap, "node1", is_well)
    assert is_well(node), node
