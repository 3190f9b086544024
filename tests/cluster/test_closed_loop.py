"""The loop closes by itself: a Deployment is labelled, and from then on its pods start from its checkpoint.

Nobody calls the API in between: a SnapWatcher freezes the first pod, a SnapHook patches those that come after it.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_deployment
from ksnap.kube.secrets import pull_secret
from ksnap.model.registry_access import RegistryAccess
from tests.cluster.namespaces import own_namespace
from tests.cluster.snap import PATIENCE_S, PUSHING, Snap, access_fields, open_snap, trusted
from tests.server.test_snaphook import free_port

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

START_S = 8.0
REPLICAS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    """A server whose key the nodes trust, and whose admission port the API server reaches."""
    folder = tmp_path_factory.mktemp("snap")
    settings, chart = trusted(cluster, kubectl, folder)
    host = str(urlsplit(cluster.api_server).hostname)
    environment = settings | {
        "KSNAP_HOOK_HOST": host,
        "KSNAP_HOOK_ADDRESS": host,
        "KSNAP_HOOK_PORT": str(free_port()),
    }
    async with open_snap(cluster, folder, environment, chart=chart) as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(snap: Snap, shop: str) -> AsyncIterator[None]:
    """A watcher and a hook."""
    watcher = {"name": "shop", "cluster_name": PUSHING, "scope": "namespace", "namespace": shop}
    await snap.ok("POST", "/operator/snapwatcher", watcher | {"auto_delete_pod": False})
    await snap.ok("POST", "/snaphook", {"name": "loop", "cluster_name": PUSHING})
    await snap.ok("POST", "/snaphook/loop/start")
    yield
    await snap.ok("POST", "/snaphook/loop/stop")


async def test_nine_of_ten_start_from_the_first(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, shop: str, loop: None
) -> None:
    await asyncio.to_thread(kubectl.apply, pull_account(cluster, shop), labelled(cluster, shop))
    await ready(kubectl, shop, 1)
    [first] = pods_of(kubectl, shop)
    assert "ksnap.dev/mutated" not in first["metadata"]["labels"], "there was nothing to start it from"
    await frozen(snap, shop, 1)  # while it stands still nobody can ask it
    token = kubectl.fetch(shop, first["metadata"]["name"])["token"]
    await asyncio.to_thread(kubectl, "scale", "deployment/web", f"--namespace={shop}", f"--replicas={REPLICAS}")
    await ready(kubectl, shop, REPLICAS)
    pods = pods_of(kubectl, shop)
    others = [each for each in pods if each["metadata"]["uid"] != first["metadata"]["uid"]]
    assert [each["metadata"]["labels"].get("ksnap.dev/mutated") for each in others] == ["true"] * (REPLICAS - 1)
    tokens = [kubectl.fetch(shop, each["metadata"]["name"])["token"] for each in others]
    assert tokens == [token] * (REPLICAS - 1), "each is the first one's process"
    assert {each["spec"]["nodeName"] for each in pods} == {each.name for each in cluster.nodes}
    assert len(await checkpoints(snap, shop)) == 1, "ten pods, one checkpoint"


async def test_another_version_starts_cold_once_and_is_frozen_anew(
    snap: Snap, kubectl: Kubectl, shop: str, loop: None
) -> None:
    """A new template is another workload: nothing of the old one's memory goes into it."""
    old = {kubectl.fetch(shop, each["metadata"]["name"])["token"] for each in pods_of(kubectl, shop)}
    template = {"metadata": {"annotations": {"version": "2"}}}
    patch = {"spec": {"replicas": 1, "strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}}
    words = ("patch", "deployment", "web", f"--namespace={shop}", f"--patch={json.dumps(patch)}")
    await asyncio.to_thread(kubectl, *words)
    await ready(kubectl, shop, 1)
    await frozen(snap, shop, 2)
    [cold] = pods_of(kubectl, shop)
    token = kubectl.fetch(shop, cold["metadata"]["name"])["token"]
    assert token not in old
    await asyncio.to_thread(kubectl, "scale", "deployment/web", f"--namespace={shop}", "--replicas=3")
    await ready(kubectl, shop, 3)
    assert {kubectl.fetch(shop, each["metadata"]["name"])["token"] for each in pods_of(kubectl, shop)} == {token}


def labelled(cluster: ClusterInfo, namespace: str) -> dict[str, Any]:
    labels = {"ksnap.dev/snap": "true"}
    deployment = webapp_deployment(
        "web", namespace, cluster.images["webapp"], memory_mb=16, start_s=START_S, labels=labels
    )
    deployment["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "pull"}]
    return deployment


def pull_account(cluster: ClusterInfo, namespace: str) -> dict[str, Any]:
    private = RegistryAccess(host=cluster.registries["private"].host, **access_fields(cluster, "private"))
    return {**pull_secret("pull", [private], labels={}), "metadata": {"name": "pull", "namespace": namespace}}


def pods_of(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    words = ("get", "pods", f"--namespace={namespace}", "--selector=app=web", "--output=json")
    return [each for each in json.loads(kubectl(*words))["items"] if "deletionTimestamp" not in each["metadata"]]


async def ready(kubectl: Kubectl, namespace: str, count: int) -> None:
    """The rollout has come to its end, with so many pods."""
    words = ("rollout", "status", "deployment/web", f"--namespace={namespace}", "--timeout=150s")
    await asyncio.to_thread(lambda: kubectl(*words, timeout_s=160))
    assert len(pods_of(kubectl, namespace)) == count


async def checkpoints(snap: Snap, namespace: str) -> list[dict[str, Any]]:
    found = await snap.ok("GET", "/checkpoint/list", namespace=namespace, status="completed")
    return list(found["checkpoints"])


async def frozen(snap: Snap, namespace: str, count: int) -> None:
    """So many checkpoints are complete."""
    deadline = time.monotonic() + PATIENCE_S
    while len(await checkpoints(snap, namespace)) < count:
        assert time.monotonic() < deadline, await snap.ok("GET", "/operator/snapwatcher/shop/events")
        await asyncio.sleep(0.5)
