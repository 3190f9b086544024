"""What the dashboard's page is set up with: read by all, changed by administrators, never over another's change."""

from collections.abc import AsyncIterator, Iterator

import pytest

from ksnap.dashboard.page_settings import DEFAULTS
from tests.cluster.dashboard.client import Dashboard, open_dashboard
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client, fresh


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    banner = {"KSNAP_SYSTEM_BANNER": "Maintenance at noon", "KSNAP_SYSTEM_BANNER_SEVERITY": "WARNING"}
    with running_server(tmp_path_factory.mktemp("page") / "data", banner) as running:
        yield running


@pytest.fixture
async def page(server: RunningServer) -> AsyncIterator[Dashboard]:
    """The administrator's page, at the root."""
    async with open_dashboard(server.url, server.token) as client:
        yield client.below("")


async def test_defaults_saved_and_merged(page: Dashboard) -> None:
    anyone = page.as_token("")
    assert await anyone.ok("/settings") == DEFAULTS
    assert (await page.call("PUT", "/settings", {"itemsPerPage": 25, "unknown": 1})).status == 204
    assert await anyone.ok("/settings") == {**DEFAULTS, "itemsPerPage": 25}
    older = await page.call("PUT", "/api/v1/settings/global", {"clusterName": "prod"})
    assert (older.status, older.body) == (201, {**DEFAULTS, "clusterName": "prod"})
    assert await anyone.ok("/api/v1/settings/global") == older.body
    for wrong in ({"itemsPerPage": "25"}, {"itemsPerPage": 0}, {"namespaceFallbackList": "x"}):
        assert (await page.call("PUT", "/settings", wrong)).status == 400


async def test_a_save_over_what_changed_meanwhile(page: Dashboard) -> None:
    seen = (await page.get("/settings")).headers["ETag"]
    assert (await page.call("PUT", "/settings", {}, headers={"If-Match": seen})).status == 204
    late = await page.call("PUT", "/settings", {"itemsPerPage": 50}, headers={"If-Match": seen})
    assert (late.status, "changed since" in late.text) == (409, True)
    assert (await page.ok("/settings"))["itemsPerPage"] == DEFAULTS["itemsPerPage"]
    assert (await page.call("PUT", "/settings", {}, headers={"If-Match": "W/x"})).status == 400


async def test_pinned_resources(page: Dashboard) -> None:
    pod = {"kind": "pod", "name": "web", "displayName": "Web", "namespaced": True, "namespace": "shop"}
    node = {"kind": "node", "name": "n1", "displayName": "N", "namespaced": False}
    for each in (pod, node, {**pod, "displayName": "Shop's web"}):
        assert (await page.call("PUT", "/settings/pinnedresources", each)).status == 204
    anyone = page.as_token("")
    assert await anyone.ok("/settings/pinnedresources") == [node, {**pod, "displayName": "Shop's web"}]
    assert (await page.call("DELETE", "/settings/pinnedresources/pod/shop/web")).status == 204
    assert (await page.call("DELETE", "/api/v1/settings/pinner/node/n1")).status == 204
    assert await anyone.ok("/api/v1/settings/pinner") == []
    absent = await page.call("DELETE", "/settings/pinnedresources/node/n1")
    assert (absent.status, "pinned resource not found" in absent.text) == (404, True)


async def test_who_may(page: Dashboard, server: RunningServer, admin: Client) -> None:
    user = fresh("viewer")
    new = {"username": user, "password": "long enough 1", "role": "viewer"}
    assert (await admin.post("/config/user/create", new)).status == 200
    viewer = page.as_token(server.login(user, "long enough 1"))
    for path in ("/settings", "/settings/pinnedresources"):
        assert await page.ok(f"{path}/cani") == {"allowed": True}
        assert await viewer.ok(f"{path}/cani") == {"allowed": False}
        assert await viewer.ok(f"{path}/cani", verb="get") == {"allowed": True}
        assert (await page.as_token("").get(f"{path}/cani")).status == 401
    body = {"kind": "node", "name": "n1"}
    for caller in (viewer, page.as_token("a-token-of-some-cluster")):
        assert (await caller.call("PUT", "/settings", {})).status == 403
        assert (await caller.call("PUT", "/settings/pinnedresources", body)).status == 403
        assert (await caller.call("DELETE", "/settings/pinnedresources/node/n1")).status == 403


async def test_config_and_banner(page: Dashboard) -> None:
    anyone = page.as_token("")
    config = await anyone.ok("/config")
    assert set(config) == {"serverTime", "userAgent", "version"}
    for path in ("/systembanner", "/api/v1/systembanner"):
        assert await anyone.ok(path) == {"message": "Maintenance at noon", "severity": "WARNING"}


async def test_what_version_2_7_asks_before_its_login_page(page: Dashboard) -> None:
    login = page.as_token("").below("/api/v1/login")
    assert await login.ok("/modes") == {"modes": ["token"]}
    assert await login.ok("/skippable") == {"skippable": False}
    status = await login.call("GET", "/status", headers={"Impersonate-User": "ann"})
    assert (status.body["tokenPresent"], status.body["impersonatedUser"]) == (False, "ann")


async def test_validators_without_a_token(page: Dashboard) -> None:
    form = page.as_token("").below("/api/v1/appdeployment")
    no_csrf = {"X-CSRF-TOKEN": ""}
    good = await form.call("POST", "/validate/imagereference", {"reference": "nginx:1"}, headers=no_csrf)
    assert good.body == {"valid": True, "reason": ""}
    bad = await form.call("POST", "/validate/imagereference", {"reference": "Nginx:1"}, headers=no_csrf)
    assert (bad.body["valid"], "lowercase" in bad.body["reason"]) == (False, True)
    udp = {"protocol": "UDP", "isExternal": True}
    assert (await form.call("POST", "/validate/protocol", udp, headers=no_csrf)).body == {"valid": False}
    assert await form.ok("/protocols") == {"protocols": ["TCP", "UDP"]}


async def test_a_change_leaves_its_trace(page: Dashboard, server: RunningServer) -> None:
    await page.call("PUT", "/settings", {"clusterName": "told-nobody"})
    lines = [line for line in server.log if "dashboard_settings_saved" in line]
    assert lines
    assert "told-nobody" not in "".join(server.log)
