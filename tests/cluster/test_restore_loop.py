"""The same pod restored a hundred times, on both nodes in turn and each from the one before: not one starts cold."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="module"), pytest.mark.thorough]

TIMES = 100
EACH_IMAGE = 10
"""A tenth of them is frozen anew, so that what was restored is restored again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


async def test_a_hundred_restores_are_a_hundred(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    kubectl.apply(webapp_pod("web", namespace, cluster.images["webapp"], node="node1", start_s=1))
    kubectl.wait_ready(namespace, "web", timeout_s=120)
    token = kubectl.fetch(namespace, "web")["token"]
    source, frozen = "web", ""
    for number in range(TIMES):
        if number % EACH_IMAGE == 0:
            frozen = (await snap.freeze(namespace, source))["checkpoint_id"]
        name = f"copy-{number}"
        body = {"pod_name": name, "node_name": f"node{number % 2 + 1}", "engine": "runtime"}
        result = await snap.ok("POST", f"/checkpoint/{frozen}/restore", body)
        assert (result["restored"], kubectl.fetch(namespace, name)["token"]) == (True, token), (number, result)
        kubectl("delete", "pod", source, f"--namespace={namespace}", "--wait=false")
        source = name
