"""Nodes drained through the dashboard: as a task of the server's own, with budgets respected and its progress told."""

import base64
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, configure, open_dashboard, rule
from tests.cluster.dashboard.objects import Json, until
from tests.parties.server import RunningServer, running_server

pytestmark = pytest.mark.usefixtures("administrators_may_all")


@pytest.fixture(scope="module")
def node(kubectl: Kubectl) -> str:
    """A node that works."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return str([each["metadata"]["name"] for each in nodes if _is_ready(each)][-1])


@pytest.fixture
def guarded(kubectl: Kubectl, cluster: ClusterInfo, node: str, namespace: str) -> Iterator[str]:
    """A namespace with two pods on the node; a budget lets nobody evict `kept`. The node is opened again at the end."""
    kubectl.apply(
        *(_pod(name, namespace, node, cluster.images["pause"]) for name in ("kept", "bare")), _budget(namespace)
    )
    kubectl.wait_ready(namespace, "kept", "bare")
    yield namespace
    kubectl("uncordon", node)


async def test_what_is_refused_changes_nothing(
    dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, node: str, namespace: str
) -> None:
    path = f"/node/{node}/drain"
    kubectl.apply(_pod("bare", namespace, node, cluster.images["pause"]))
    refused = await dashboard.call("PUT", path, {"force": False})
    assert (refused.status, f"{namespace}/bare has no controller" in refused.text) == (409, True), refused
    wrong: list[object] = [{"timeout": "soon"}, {"timeout": -1}, {"force": "yes"}, {"gracePeriodSeconds": -2}, []]
    for body in wrong:
        assert (await dashboard.call("PUT", path, body)).status == 400, body
    assert (await dashboard.call("PUT", "/node/none/drain")).status == 404
    assert (await dashboard.get(f"{path}/none")).status == 404
    may_look = rule("pods", "list")
    with account(kubectl, namespace, cluster_rules=[may_look]) as token:
        limited = dashboard.as_token(token)
        assert (await limited.call("PUT", path)).status == 403
        assert (await limited.get(path)).status == 403
    assert not kubectl.get("default", "node", node)["spec"].get("unschedulable")


@pytest.mark.thorough
async def test_a_drain_waits_for_a_budget(dashboard: Dashboard, kubectl: Kubectl, node: str, guarded: str) -> None:
    path = f"/node/{node}/drain"
    begun = await dashboard.call("PUT", path, {"timeout": "60s"})
    assert (begun.status, begun.body["status"]) == (202, "running"), begun
    assert kubectl.get("default", "node", node)["spec"]["unschedulable"] is True
    status = begun.headers["Location"].removeprefix("/api/v1")
    waiting = await until("bare gone, kept waits", lambda: _waits(dashboard, status, guarded))
    assert "disruption budget" in waiting["message"]
    again = await dashboard.call("PUT", path)
    assert again.status == 409
    kubectl("-n", guarded, "delete", "poddisruptionbudget", "kept")
    ended = await until("completed", lambda: _ended(dashboard, status))
    assert (ended["status"], ended["gone"], ended["startedBy"]) == ("completed", ended["total"], "admin")
    assert kubectl("-n", guarded, "get", "pods", "-o", "name") == ""
    assert (await dashboard.ok(path))["drains"][0]["id"] == ended["id"]
    assert (await dashboard.call("DELETE", status)).status == 409
    opened = await dashboard.call("PUT", f"/node/{node}/uncordon")
    assert opened.body["spec"].get("unschedulable") is None


@pytest.mark.thorough
async def test_a_drain_that_is_cancelled_and_one_whose_time_is_up(
    dashboard: Dashboard, dashboard_server: RunningServer, kubectl: Kubectl, node: str, guarded: str
) -> None:
    path = f"/node/{node}/drain"
    begun = await dashboard.call("PUT", path)
    status = begun.headers["Location"].removeprefix("/api/v1")
    await until("kept waits", lambda: _waits(dashboard, status, guarded))
    cancelled = await dashboard.call("DELETE", status)
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled"), cancelled
    begun = await dashboard.call("PUT", path)
    _ask_like_another_server(dashboard_server, begun.body["id"])
    ended = await until("cancelled", lambda: _ended(dashboard, f"{path}/{begun.body['id']}"))
    assert ended["status"] == "cancelled"
    begun = await dashboard.call("PUT", path, {"timeout": 2_000_000_000})
    ended = await until("failed", lambda: _ended(dashboard, f"{path}/{begun.body['id']}"))
    assert (ended["status"], "The time is up (2 s)" in ended["message"]) == ("failed", True), ended
    assert f"{guarded}/kept" in ended["message"]
    assert kubectl("-n", guarded, "get", "pods", "-o", "name") == "pod/kept\n"


@pytest.mark.thorough
async def test_a_server_that_dies_leaves_no_drain_that_seems_to_run(
    cluster: ClusterInfo, node: str, guarded: str, tmp_path: Path
) -> None:
    path = f"/node/{node}/drain"
    async with _own_server(cluster, tmp_path / "data") as (dashboard, kill):
        begun = await dashboard.call("PUT", path)
        status = f"{path}/{begun.body['id']}"
        await until("kept waits", lambda: _waits(dashboard, status, guarded))
        kill()
    async with _own_server(cluster, tmp_path / "data", configured=True) as (dashboard, _):
        left = await dashboard.ok(status)
        assert (left["status"], left["message"]) == ("interrupted", "Its server has ended")
        begun = await dashboard.call("PUT", path)
        assert begun.status == 202
        assert (await dashboard.call("DELETE", f"{path}/{begun.body['id']}")).body["status"] == "cancelled"


@asynccontextmanager
async def _own_server(
    cluster: ClusterInfo, data_dir: Path, *, configured: bool = False
) -> AsyncIterator[tuple[Dashboard, Callable[[], None]]]:
    """A server that may be killed, and how."""
    with running_server(data_dir) as server:
        if not configured:
            kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
            configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
        async with open_dashboard(server.url, server.token) as dashboard:
            yield dashboard, server.process.kill


def _ask_like_another_server(server: RunningServer, drain_id: str) -> None:
    """A cancellation that came to another server of the same database."""
    with closing(sqlite3.connect(server.data_dir / "ksnap.db", timeout=10)) as database, database:
        database.execute("UPDATE node_drains SET cancel_requested = 1 WHERE id = ?", (drain_id,))


async def _waits(dashboard: Dashboard, path: str, namespace: str) -> Json | None:
    """The pod that a budget keeps, once the other one is gone."""
    pods = {each["name"]: each for each in (await dashboard.ok(path))["pods"] if each["namespace"] == namespace}
    done = pods and pods["bare"]["state"] == "gone" and pods["kept"]["message"]
    return pods["kept"] if done else None


async def _ended(dashboard: Dashboard, path: str) -> Any:
    found = await dashboard.ok(path)
    return found if found["status"] != "running" else None


def _pod(name: str, namespace: str, node: str, image: str) -> Json:
    """On the node from the start, whatever the scheduler thinks of it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"name": name}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": image}],
        },
    }


def _budget(namespace: str) -> Json:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "kept", "namespace": namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"name": "kept"}}},
    }


def _is_ready(node: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
