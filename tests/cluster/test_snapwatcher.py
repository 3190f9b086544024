"""SnapWatcher with real freezes: each labelled workload once, whatever made its pods and whatever happens to us."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_deployment, webapp_pod
from ksnap.configuration.registries import Registries, RegistryChange
from ksnap.identity.principal import Principal, Role
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.settings import ServerSettings
from ksnap.store.database import open_database
from ksnap.store.encryption import open_vault
from ksnap.store.migrate import migrate
from ksnap.store.tables import Checkpoint
from ksnap.watchers.deleting import Deleting, evict
from tests.cluster.namespaces import own_namespace
from tests.cluster.snap import PATIENCE_S, PUSHING, Snap, access_fields, open_snap
from tests.cluster.test_faults import HOLDS_A_RING

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

WATCHER = "own"
SNAP = {"ksnap.dev/snap": "true"}
NODE = "node1"


@pytest.fixture(scope="module")
def room(kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, room: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    """A server with a watcher of one namespace."""
    environment = {"KSNAP_WATCHER_RETRY_S": "0.5"}
    async with open_snap(cluster, tmp_path_factory.mktemp("snap"), environment, node_setup=False) as opened:
        body = {"name": WATCHER, "cluster_name": PUSHING, "scope": "namespace", "namespace": room}
        created = await opened.ok("POST", "/operator/snapwatcher", body)
        assert (created["status"], created["trigger"], created["last_error"]) == ("running", "startupProbe", "")
        yield opened


async def told(snap: Snap, event: str, count: int, *, watcher: str = WATCHER, **query: str) -> list[dict[str, Any]]:
    """The watcher's events of one kind, once there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    found: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        found = (await snap.ok("GET", f"/operator/snapwatcher/{watcher}/events", limit=1000, **query))["events"]
        matching = [each for each in found if each["event"] == event]
        if len(matching) >= count:
            return matching
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{count} times {event}: {found}")


async def checkpoints(snap: Snap, room: str) -> list[dict[str, Any]]:
    listed = await snap.ok("GET", "/checkpoint/list", namespace=room, limit=1000)
    found: list[dict[str, Any]] = listed["checkpoints"]
    return found


async def test_replicas_are_frozen_once_though_the_server_is_killed(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    image = cluster.images["webapp"]
    deployment = webapp_deployment("web", room, image, replicas=3, memory_mb=32, start_s=3, labels=SNAP)
    await asyncio.to_thread(kubectl.apply, deployment)
    await told(snap, "freezing", 1)
    await snap.kill()
    await snap.start()
    [frozen] = await told(snap, "frozen", 1)
    others = await told(snap, "exists", 2)
    assert len({frozen["pod_uid"], *(each["pod_uid"] for each in others)}) == 3
    [checkpoint] = await checkpoints(snap, room)
    assert (checkpoint["status"], checkpoint["pod_name"]) == ("completed", frozen["pod_name"])
    details = await snap.ok("GET", f"/checkpoint/{checkpoint['id']}")
    assert details["created_by"] == f"watcher:{WATCHER}"
    assert details["key"]["ksnap.dev/owner"] == "Deployment/web"
    # It may delete pods, but not this one: its successor would start cold, and be frozen, and so on for ever.
    [kept] = await told(snap, "pod_kept", 1)
    assert "no running SnapHook" in kept["message"]
    status = await snap.ok("GET", f"/operator/snapwatcher/{WATCHER}/status")
    assert (status["status"], status["thread_alive"], status["checkpoints_total"]) == ("running", True, 1)


async def test_whatever_makes_pods_and_who_said_no(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    image = cluster.images["webapp"]
    manifests = [
        webapp_pod("bare", room, image, memory_mb=16, start_s=1, labels=SNAP),
        webapp_pod("refuses", room, image, memory_mb=16, start_s=1, labels={"ksnap.dev/snap": "false"}),
        _controlled("apps/v1", "StatefulSet", "set", room, image, serviceName="set", replicas=1),
        _controlled("batch/v1", "Job", "task", room, image, backoffLimit=0),
    ]
    await asyncio.to_thread(kubectl.apply, *manifests)
    await told(snap, "frozen", 4)
    records = [await snap.ok("GET", f"/checkpoint/{each['id']}") for each in await checkpoints(snap, room)]
    owners = {each["key"]["ksnap.dev/owner"] for each in records}
    assert owners == {"Deployment/web", "Pod/bare", "StatefulSet/set", "Job/task"}
    assert len(records) == 4
    [ignored] = await told(snap, "ignored", 1)
    assert ignored["pod_name"] == "refuses"
    [kept] = await told(snap, "pod_kept", 1, pod_name="bare")
    assert "no controller" in kept["message"]


async def test_one_more_is_made_when_it_is_asked_for(snap: Snap, kubectl: Kubectl, room: str) -> None:
    """By a second watcher, after a request to the pod; the first one has its checkpoint and makes no other."""
    body = {
        "name": "asked", "cluster_name": PUSHING, "scope": "namespace", "namespace": room, "trigger": "annotation",
        "auto_delete_pod": False, "warm_up": {"port": 8080, "path": "/", "requests": 2},
    }  # fmt: skip
    await snap.ok("POST", "/operator/snapwatcher", body)
    before = len(await checkpoints(snap, room))
    kubectl("annotate", "pod", "bare", f"--namespace={room}", "ksnap.dev/freeze-now=once")
    [frozen] = await told(snap, "frozen", 1, watcher="asked")
    assert frozen["pod_name"] == "bare"
    assert len(await checkpoints(snap, room)) == before + 1


async def test_a_pod_that_cannot_be_warmed_up_is_not_frozen(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    body = {"warm_up": {"port": 9, "path": "/"}}
    await snap.ok("PUT", "/operator/snapwatcher/asked", body)
    before = len(await checkpoints(snap, room))
    kubectl("annotate", "pod", "bare", f"--namespace={room}", "ksnap.dev/freeze-now=twice", "--overwrite")
    [last] = await told(snap, "given_up", 1, watcher="asked")
    assert "could not be warmed up. request 1 of 1 to port 9" in last["message"]
    assert len(await told(snap, "failed", 2, watcher="asked")) == 2
    assert len(await checkpoints(snap, room)) == before


async def test_an_eviction_is_of_this_very_pod_and_heeds_budgets(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    config = ClusterConfig(
        name="dev", api_server_url=cluster.api_server, auth_type=AuthType.KUBECONFIG,
        credentials=SecretStr(cluster.kubeconfig.read_text()),
    )  # fmt: skip
    connection = await ClusterConnection.open(config)
    try:
        uid = kubectl.get(room, "pod", "bare")["metadata"]["uid"]
        assert "could not be evicted" in await evict(connection, room, "bare", uid="another", patience_s=0)
        budget = {
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "bare", "namespace": room},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "bare"}}},
        }  # fmt: skip
        await asyncio.to_thread(kubectl.apply, budget)
        assert "disruption budget" in await evict(connection, room, "bare", uid=uid, patience_s=0)
        assert "deletionTimestamp" not in kubectl.get(room, "pod", "bare")["metadata"]
        kubectl("delete", "pdb", "bare", f"--namespace={room}")
        assert await evict(connection, room, "bare", uid=uid) == ""
        await asyncio.to_thread(
            kubectl, "wait", "--for=delete", "pod/bare", f"--namespace={room}", "--timeout=60s", timeout_s=70
        )
        assert await evict(connection, room, "bare", uid=uid) == "", "one that is gone is as good"
    finally:
        await connection.close()


class EveryHook:
    """A SnapHook that covers all namespaces."""

    def covers(self, cluster: str, namespace: str) -> bool:
        return True


async def test_a_pod_may_go_once_the_registry_itself_has_its_image(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=30)
    try:
        vault = await asyncio.to_thread(open_vault, ServerSettings(data_dir=tmp_path))
        registries = Registries(database, vault)
        access = access_fields(cluster, "private")
        change = RegistryChange(
            name="private", url=cluster.registries["private"].host, username=access["username"],
            password=SecretStr(access["password"]), ca_cert=access["ca_cert"],
        )  # fmt: skip
        await registries.create(Principal("admin", Role.ADMINISTRATOR), change)
        record = next(each for each in await checkpoints(snap, room) if each["pod_name"].startswith("web-"))
        image, digest = await snap.image_of(record["id"])
        pod = kubectl.get(room, "pod", record["pod_name"])
        told = {"cluster_name": PUSHING, "namespace": room, "pod_uid": pod["metadata"]["uid"], "image": image}
        deleting = Deleting(registries, EveryHook())
        there = Checkpoint(**told, image_digest=digest, registry_name="private")
        assert await deleting.obstacle(pod, there) == ""
        other = Checkpoint(**told, image_digest="sha256:" + "0" * 64, registry_name="private")
        assert "the registry has no image" in await deleting.obstacle(pod, other)
    finally:
        await database.close()


async def test_a_freeze_that_fails_is_given_up_after_three_tries(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    """CRIU cannot freeze an io_uring, whatever the options are."""
    pod = webapp_pod("ring", room, cluster.images["webapp"], node=NODE, start_s=0, labels=SNAP)
    container = pod["spec"]["containers"][0]
    del container["readinessProbe"]
    container["command"] = ["python3", "-c", HOLDS_A_RING]
    container["securityContext"] = {"seccompProfile": {"type": "Unconfined"}}
    await asyncio.to_thread(kubectl.apply, pod)
    [last] = await told(snap, "given_up", 1, pod_name="ring")
    assert "io_uring" in last["message"]
    failed = await told(snap, "failed", 2, pod_name="ring")
    assert len(failed) == 2
    tries = [each for each in await checkpoints(snap, room) if each["pod_name"] == "ring"]
    assert [each["status"] for each in tries] == ["failed"] * 3
    status = await snap.ok("GET", f"/operator/snapwatcher/{WATCHER}/status")
    assert "ring" in status["last_error"]
    assert "after 3 tries" in status["last_error"]
    assert (status["status"], status["checkpoints_total"]) == ("running", 4)


def _controlled(version: str, kind: str, name: str, namespace: str, image: str, **spec: Any) -> dict[str, Any]:
    """The web app under another controller."""
    pod = webapp_pod(name, namespace, image, memory_mb=16, start_s=1, labels=SNAP)
    if kind == "Job":
        pod["spec"]["restartPolicy"] = "Never"
    else:
        spec["selector"] = {"matchLabels": {"app": name}}
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {**spec, "template": template}}
