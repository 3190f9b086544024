"""Lists that stay up to date, held against what a GET answers at the end."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.live_reader import Page, Reader, reading, socket_reading

Opening = Callable[..., AbstractAsyncContextManager[Reader]]
KINDS = [rule("configmaps", "list"), rule("pods", "list"), rule("events", "list")]
WORKLOADS = [rule("deployments", "list", group="apps"), rule("replicasets", "list", group="apps")]
# A right that was taken away is gone within ten seconds; the rest is for a busy machine.
GONE_S = 25.0


@pytest.fixture(scope="module")
def reader(kubectl: Kubectl, module_namespace: str) -> Iterator[str]:
    """The token of one who may list what is followed here, in the module's namespace."""
    with account(kubectl, module_namespace, rules=[*KINDS, *WORKLOADS]) as token:
        yield token


@pytest.fixture
async def reading_dashboard(dashboard: Dashboard, reader: str) -> Dashboard:
    return dashboard.as_token(reader)


def _map(kubectl: Kubectl, namespace: str, name: str, **labels: str) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})


def _has(*names: str) -> Callable[[Page], bool]:
    return lambda page: page.names == list(names)


async def _is_as_answered(read: Page, dashboard: Dashboard, path: str, **query: str | int) -> None:
    answer = await dashboard.ok(f"/{path}", **query)
    assert read.rows == answer[read.items]
    assert read.body == {name: value for name, value in answer.items() if name != read.items}


@pytest.mark.parametrize("opening", [reading, socket_reading])
async def test_rows_come_change_and_go(
    reading_dashboard: Dashboard, kubectl: Kubectl, module_namespace: str, opening: Opening
) -> None:
    mark = secrets.token_hex(3)
    path, query = f"configmap/{module_namespace}", {"filterBy": f"name,{mark}", "sortBy": "d,name"}
    _map(kubectl, module_namespace, f"b-{mark}")
    async with opening(reading_dashboard, path, "items", **query) as follower:
        page = await follower.begun()
        assert (page.frames[0]["type"], page.names, page.body["errors"]) == ("list", [f"b-{mark}"], [])
        _map(kubectl, module_namespace, f"a-{mark}")
        _map(kubectl, module_namespace, f"other-{secrets.token_hex(3)}")
        _map(kubectl, module_namespace, f"c-{mark}")
        await follower.until(_has(f"c-{mark}", f"b-{mark}", f"a-{mark}"))
        _map(kubectl, module_namespace, f"b-{mark}", colour="blue")
        await follower.until(lambda page: page.rows[1]["objectMeta"].get("labels") == {"colour": "blue"})
        await _is_as_answered(page, reading_dashboard, path, **query)
        kubectl("-n", module_namespace, "delete", "configmap", f"c-{mark}", f"a-{mark}")
        await follower.until(_has(f"b-{mark}"))
        await _is_as_answered(page, reading_dashboard, path, **query)
    assert {each["type"] for each in page.frames[1:]} == {"changes"}
    assert all(len(each["changes"]) <= 2 for each in page.frames[1:])


async def test_a_page_is_followed_as_a_page(
    reading_dashboard: Dashboard, kubectl: Kubectl, module_namespace: str
) -> None:
    """What comes before it pushes its last row out; a deletion lets the next one in."""
    mark = secrets.token_hex(3)
    query: dict[str, Any] = {"filterBy": f"name,{mark}", "sortBy": "a,name", "itemsPerPage": 2, "page": 1}
    for name in ("m", "n", "o"):
        _map(kubectl, module_namespace, f"{name}-{mark}")
    async with reading(reading_dashboard, f"configmap/{module_namespace}", "items", **query) as follower:
        page = await follower.until(lambda page: page.body.get("listMeta") == {"totalItems": 3})
        assert page.names == [f"m-{mark}", f"n-{mark}"]
        _map(kubectl, module_namespace, f"a-{mark}")
        await follower.until(_has(f"a-{mark}", f"m-{mark}"))
        kubectl("-n", module_namespace, "delete", "configmap", f"m-{mark}", f"n-{mark}")
        await follower.until(_has(f"a-{mark}", f"o-{mark}"))
        await follower.until(lambda page: page.body["listMeta"] == {"totalItems": 2})
        await _is_as_answered(page, reading_dashboard, f"configmap/{module_namespace}", **query)


async def test_rows_follow_what_stands_beside_them(
    reading_dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, module_namespace: str
) -> None:
    """A deployment's pods and their warnings are no part of its object."""
    name, labels = f"web-{secrets.token_hex(3)}", {"app": secrets.token_hex(3)}
    path = f"deployment/{module_namespace}"
    async with reading(reading_dashboard, path, "deployments", filterBy=f"name,{name}") as follower:
        page = await follower.begun()
        container = {"name": "main", "image": cluster.images["pause"]}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        template = {"metadata": {"labels": labels}, "spec": spec}
        kubectl.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": module_namespace},
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
            }
        )
        await follower.until(lambda page: bool(page.rows) and page.rows[0]["pods"]["running"] == 2)
        kubectl("-n", module_namespace, "set", "image", f"deployment/{name}", "main=nowhere.invalid/none:1")
        await follower.until(lambda page: bool(page.rows[0]["pods"]["warnings"]))
        kubectl("-n", module_namespace, "delete", "deployment", name, "--wait=false")
        await follower.until(lambda page: page.rows == [])
    assert page.frames[0]["list"]["deployments"] == []


async def test_who_comes_back_and_has_missed_nothing_gets_no_list(
    reading_dashboard: Dashboard, kubectl: Kubectl, module_namespace: str
) -> None:
    mark = secrets.token_hex(3)
    path, query = f"configmap/{module_namespace}", {"filterBy": f"name,{mark}"}
    _map(kubectl, module_namespace, f"a-{mark}")
    async with reading(reading_dashboard, path, "items", **query) as follower:
        first = (await follower.until(_has(f"a-{mark}"))).id
    async with reading(reading_dashboard, path, "items", last_id=first, **query) as follower:
        assert (await follower.begun()).frames == [{"type": "unchanged", "id": first}]
    async with socket_reading(reading_dashboard, path, "items", after=first, **query) as follower:
        assert (await follower.begun()).frames == [{"type": "unchanged", "id": first}]
        _map(kubectl, module_namespace, f"b-{mark}")
        await follower.until(lambda page: page.frames[-1]["type"] == "changes" and page.names == [f"b-{mark}"])
    async with reading(reading_dashboard, path, "items", last_id=first, **query) as follower:
        page = await follower.begun()
        assert (page.frames[0]["type"], page.names) == ("list", [f"a-{mark}", f"b-{mark}"])


@pytest.mark.parametrize("opening", [reading, socket_reading])
async def test_a_right_that_is_taken_away_ends_it(
    dashboard: Dashboard, kubectl: Kubectl, namespace: str, opening: Opening
) -> None:
    with account(kubectl, namespace, rules=KINDS) as token:
        async with opening(dashboard.as_token(token), f"configmap/{namespace}", "items") as follower:
            await follower.begun()
            kubectl("-n", namespace, "delete", "rolebinding", "--all")
            name, told = await asyncio.wait_for(follower.next(), GONE_S)
            assert (name, told["ErrStatus"]["code"]) == ("failure", 403)
            _, code = await asyncio.wait_for(follower.next(), GONE_S)
            assert code in {None, 4403}


async def test_one_namespace_of_two_is_taken_away(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """Its rows go, and the refusal is told as in the list."""
    with account(kubectl, namespace, rules=KINDS) as token:
        both = f"{namespace},default"
        refused = dashboard.as_token(token)
        async with reading(refused, f"configmap/{both}", "items") as follower:
            page = await follower.begun()
            assert "kube-root-ca.crt" in page.names
            assert [each["ErrStatus"]["code"] for each in page.body["errors"]] == [403]


async def test_an_ended_login_ends_it(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """A user of ksnap who is deleted while following."""
    user = {"username": f"ann-{secrets.token_hex(3)}", "password": "securepassword", "role": "viewer"}
    admin = dashboard.below("")
    assert (await admin.call("POST", "/config/user/create", user, headers={"X-CSRF-TOKEN": ""})).status == 200
    answer = await admin.call("POST", "/config/user/login", user, headers={"X-CSRF-TOKEN": ""})
    kubectl("-n", namespace, "create", "role", "reader", "--verb=list", "--resource=configmaps")
    kubectl("-n", namespace, "create", "rolebinding", "ann", "--role=reader", f"--user=ksnap:{user['username']}")
    async with socket_reading(dashboard.as_token(answer.body["token"]), f"configmap/{namespace}", "items") as follower:
        assert "kube-root-ca.crt" in (await follower.begun()).names
        await admin.call("DELETE", "/config/user/delete", {"username": user["username"]})
        name, told = await asyncio.wait_for(follower.next(), GONE_S)
        assert (name, told["ErrStatus"]["code"]) == ("failure", 401), told
        assert await asyncio.wait_for(follower.next(), GONE_S) == ("", 4401)


async def test_what_cannot_be_followed(
    dashboard: Dashboard, reading_dashboard: Dashboard, module_namespace: str
) -> None:
    async def status(path: str, who: Dashboard = reading_dashboard, **query: str) -> int:
        return (await who.get(f"/live/{path}", **query)).status

    assert await status("secret") == 403
    assert await status(f"secret/{module_namespace}") == 403
    assert await status("heapster") == 404
    assert await status(f"node/{module_namespace}") == 404
    assert await status(f"configmap/{module_namespace}", filterBy="colour,blue") == 400
    assert await status(f"configmap/{module_namespace}", dashboard.as_token("")) == 401
    async with socket_reading(reading_dashboard, "secret", "secrets") as follower:
        name, told = await follower.next()
        assert (name, told["ErrStatus"]["reason"]) == ("failure", "Forbidden")
        assert await follower.next() == ("", 4403)


async def test_a_burst_is_told_together(reading_dashboard: Dashboard, kubectl: Kubectl, module_namespace: str) -> None:
    """Sixty objects at once are a few frames."""
    mark = secrets.token_hex(3)
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{mark}-{number:02}", "namespace": module_namespace},
        }
        for number in range(60)
    ]
    path = f"configmap/{module_namespace}"
    async with reading(reading_dashboard, path, "items", filterBy=f"name,{mark}") as follower:
        await follower.begun()
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        await asyncio.to_thread(kubectl, "create", "--filename=-", stdin=text)
        page = await follower.until(lambda page: len(page.rows) == 60)
    assert page.names == [each["metadata"]["name"] for each in objects]
    assert len(page.frames) < 40
