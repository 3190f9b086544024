"""Pods that a controller makes, whose names nobody knows beforehand: restored from their own workload's checkpoint.

And nobody else's: a pod of another namespace starts cold with the very same annotation, unless the server permits it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_deployment, webapp_pod
from ksnap.kube.secrets import pull_secret
from ksnap.model.registry_access import RegistryAccess
from tests.cluster.namespaces import own_namespace
from tests.cluster.snap import Snap, access_fields, open_snap, trusted

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

RESTORE, PERMIT = "restore.ksnap.dev/webapp", "permit.ksnap.dev/webapp"
START_S = 1.0


@dataclass(frozen=True, slots=True)
class Frozen:
    """A Deployment's process, and the image of it."""

    namespace: str
    checkpoint_id: str
    image: str
    """host/repository@digest"""
    token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    """A server whose key the nodes trust, and nodes that know their cluster's name and may read pull secrets."""
    folder = tmp_path_factory.mktemp("snap")
    settings, chart = trusted(cluster, kubectl, folder)
    async with open_snap(cluster, folder, settings, chart=chart) as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(kubectl: Kubectl) -> Iterator[str]:
    """The namespace of the Deployment."""
    with own_namespace(kubectl) as name:
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def frozen(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, shop: str) -> Frozen:
    """A Deployment of the runtime class, frozen once, and its template annotated: two new pods, one on each node."""
    private = RegistryAccess(host=cluster.registries["private"].host, **access_fields(cluster, "private"))
    deployment = webapp_deployment("web", shop, cluster.images["webapp"], memory_mb=32, start_s=START_S)
    # Old pods go before new ones come, so that those are spread over both nodes.
    deployment["spec"]["strategy"] = {"type": "Recreate"}
    deployment["spec"]["template"]["spec"] |= {
        "runtimeClassName": "ksnap",
        "imagePullSecrets": [{"name": "pull"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": {"matchLabels": {"app": "web"}}}
        ],
    }  # fmt: skip
    secret = {**pull_secret("pull", [private], labels={}), "metadata": {"name": "pull", "namespace": shop}}
    await asyncio.to_thread(kubectl.apply, secret, deployment)
    await rolled_out(kubectl, shop)
    [first] = pods_of(kubectl, shop)
    checkpoint = await snap.freeze(shop, first["metadata"]["name"])
    image, digest = await snap.image_of(checkpoint["checkpoint_id"])
    wish = f"{image.rpartition(':')[0]}@{digest}"
    token = kubectl.fetch(shop, first["metadata"]["name"])["token"]
    patch = {"spec": {"replicas": 2, "template": {"metadata": {"annotations": {RESTORE: wish}}}}}
    kubectl("patch", "deployment", "web", f"--namespace={shop}", f"--patch={json.dumps(patch)}")
    await rolled_out(kubectl, shop)
    return Frozen(shop, checkpoint["checkpoint_id"], wish, token)


async def rolled_out(kubectl: Kubectl, namespace: str) -> None:
    words = ("rollout", "status", "deployment/web", f"--namespace={namespace}", "--timeout=90s")
    await asyncio.to_thread(lambda: kubectl(*words, timeout_s=100))


def pods_of(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    words = ("get", "pods", f"--namespace={namespace}", "--selector=app=web", "--output=json")
    return [each for each in json.loads(kubectl(*words))["items"] if "deletionTimestamp" not in each["metadata"]]


def events_of(kubectl: Kubectl, namespace: str, pod: str) -> dict[str, str]:
    """Reason -> message."""
    selector = f"--field-selector=involvedObject.name={pod}"
    found = json.loads(kubectl("get", "events", f"--namespace={namespace}", selector, "--output=json"))
    return {each["reason"]: each["message"] for each in found["items"]}


def wishing(frozen: Frozen, name: str, namespace: str, image: str, **annotations: str) -> dict[str, Any]:
    """A pod of the same container that wishes for the Deployment's memory."""
    pod = webapp_pod(name, namespace, image, memory_mb=32, start_s=START_S)
    pod["metadata"]["annotations"] = {RESTORE: frozen.image, **annotations}
    pod["spec"]["runtimeClassName"] = "ksnap"
    return pod


async def test_replicas_are_restored_on_both_nodes(kubectl: Kubectl, frozen: Frozen) -> None:
    pods = pods_of(kubectl, frozen.namespace)
    assert {each["spec"]["nodeName"] for each in pods} == {"node1", "node2"}
    for name in (each["metadata"]["name"] for each in pods):
        told = events_of(kubectl, frozen.namespace, name)
        assert kubectl.fetch(frozen.namespace, name)["token"] == frozen.token, told
        assert "Restored webapp in" in told["Restored"]


async def test_the_same_annotation_opens_nothing_elsewhere(
    kubectl: Kubectl, cluster: ClusterInfo, namespace: str, frozen: Frozen
) -> None:
    """The image lies on both nodes: only who asks is another."""
    await asyncio.to_thread(kubectl.apply, wishing(frozen, "thief", namespace, cluster.images["webapp"]))
    await asyncio.to_thread(kubectl.wait_ready, namespace, "thief")
    told = events_of(kubectl, namespace, "thief")["StartedCold"]
    assert told.startswith("NotPermitted: The image is of another workload"), told
    assert kubectl.fetch(namespace, "thief")["token"] != frozen.token


async def test_a_permit_of_the_server_opens_it(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, frozen: Frozen
) -> None:
    body = {"pod_name": "copy", "namespace": namespace, "node_name": "node1", "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen.checkpoint_id}/restore", body)
    assert result["restored"] is True, result
    assert kubectl.fetch(namespace, "copy")["token"] == frozen.token
    permit = kubectl.get(namespace, "pod", "copy")["metadata"]["annotations"][PERMIT]
    await asyncio.to_thread(kubectl, "delete", "pod", "copy", f"--namespace={namespace}", "--wait=true")

    # The server told node1 of this pod: on the other node it is the signed text alone that opens.
    for name, restored in (("copy", True), ("other", False)):
        pod = wishing(frozen, name, namespace, cluster.images["webapp"], **{PERMIT: permit})
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "node2"}
        await asyncio.to_thread(kubectl.apply, pod)
        await asyncio.to_thread(kubectl.wait_ready, namespace, name)
        told = events_of(kubectl, namespace, name)
        assert (kubectl.fetch(namespace, name)["token"] == frozen.token) is restored, told
    assert "it is for another pod" in told["StartedCold"], told
