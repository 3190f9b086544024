"""Watchers over HTTP and by command line, of a cluster at which nobody answers: what is stored, shown and wished."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.person import Person

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def watcher(admin: Client, name: str) -> AsyncIterator[dict[str, Any]]:
    """A watcher of that cluster, as it was answered."""
    body = {
        "name": fresh("watcher"), "cluster_name": name, "auto_delete_pod": False, "selector": {"tier": "web"},
        "settle_s": 2.5, "warm_up": {"path": "/warm", "port": 8080},
    }  # fmt: skip
    created = await admin.post("/operator/snapwatcher", body)
    assert created.status == 200, created
    yield created.body
    await admin.delete(f"/operator/snapwatcher/{created.body['name']}")


async def test_one_whose_cluster_is_away_stays_and_says_so(admin: Client, watcher: dict[str, Any]) -> None:
    assert (watcher["status"], watcher["scope"], watcher["trigger"]) == ("error", "cluster", "startupProbe")
    assert "unreachable" in watcher["last_error"]
    assert watcher["cluster_config"] == {"api_server_url": "https://127.0.0.1:1", "auth_type": "token"}
    assert watcher["warm_up"] == {"path": "/warm", "port": 8080, "requests": 1, "timeout_s": 10.0}
    taken = await admin.post(
        "/operator/snapwatcher", {"name": watcher["name"], "cluster_name": watcher["cluster_name"]}
    )
    assert (taken.status, taken.code) == (409, "ALREADY_EXISTS")
    states = (await admin.get("/operator/watchers/status")).body
    assert states["watchers"][watcher["name"]]["running"] is True
    assert states["active_watchers"] >= 1
    listed = (await admin.get(f"/operator/snapwatchers/{watcher['cluster_name']}")).body
    assert [each["name"] for each in listed["watchers"]] == [watcher["name"]]
    events = await admin.get(f"/operator/snapwatcher/{watcher['name']}/events")
    assert (events.status, events.body) == (200, {"events": []})


async def test_a_change_keeps_what_it_does_not_name(admin: Client, watcher: dict[str, Any]) -> None:
    path = f"/operator/snapwatcher/{watcher['name']}"
    changed = await admin.put(path, {"trigger": "schedule", "schedule": "0 3 * * *"})
    assert changed.status == 200, changed
    expected = watcher | {"trigger": "schedule", "schedule": "0 3 * * *"}
    moving = ("last_update", "thread_alive", "status", "last_error")
    assert {**changed.body, **dict.fromkeys(moving, 0)} == {**expected, **dict.fromkeys(moving, 0)}
    for wrong, field in (
        ({"schedule": "often"}, "schedule"),
        ({"scope": "namespace"}, "namespace"),
        ({"trigger": "full moon"}, "trigger"),
        ({"settle_s": -1}, "settle_s"),
    ):
        refused = await admin.put(path, wrong)
        assert (refused.status, refused.code) == (422, "VALIDATION_ERROR"), wrong
        assert field in refused.details


async def test_stop_and_start_again_and_again(admin: Client, watcher: dict[str, Any]) -> None:
    path = f"/operator/snapwatcher/{watcher['name']}"
    for _ in range(2):
        stopped = await admin.post(f"{path}/stop")
        assert (stopped.status, stopped.body["status"], stopped.body["thread_alive"]) == (200, "stopped", False)
    for _ in range(2):
        started = await admin.post(f"{path}/start")
        assert (started.status, started.code) == (502, "CLUSTER_CONNECTION_FAILED")
    after = (await admin.get(f"{path}/status")).body
    assert (after["status"], after["auto_delete_pod"]) == ("error", False), "the wish is kept, and what it was told"


async def test_the_short_form(admin: Client, name: str) -> None:
    body = {"cluster_name": name, "scope": "namespace", "namespace": "shop"}
    other = await admin.post("/operator/start", body | {"cluster_config": {"api_server_url": "https://other:6443"}})
    assert (other.status, other.code) == (422, "VALIDATION_ERROR")
    assert "cluster_config.api_server_url" in other.details
    same = {"api_server_url": "https://127.0.0.1:1/", "auth_type": "token"}
    assert (await admin.post("/operator/start", body | {"cluster_config": same})).code == "CLUSTER_CONNECTION_FAILED"
    conflicting = await admin.post("/operator/start", body | {"auto_delete_pod": False})
    assert (conflicting.status, conflicting.code) == (409, "CONFLICT")
    active = (await admin.get("/operator/status")).body
    assert active["running"] is True
    assert name in {each["cluster_name"] for each in active["active_watchers"]}
    for _ in range(2):
        stopped = (await admin.post("/operator/stop", {"cluster_name": name})).body
        assert (stopped["success"], stopped["running"], stopped["cluster_name"]) == (True, False, name)
    assert (await admin.post("/operator/stop", {"cluster_name": "nowhere"})).code == "CLUSTER_NOT_FOUND"
    assert (await admin.delete(f"/operator/snapwatcher/{name}")).body["success"] is True
    assert (await admin.get(f"/operator/snapwatcher/{name}")).code == "NOT_FOUND"


async def test_what_is_not_there(admin: Client) -> None:
    body = {"name": "w", "cluster_name": "nowhere"}
    assert (await admin.post("/operator/snapwatcher", body)).code == "CLUSTER_NOT_FOUND"
    for method, path in (("GET", "/status"), ("GET", "/events"), ("POST", "/start"), ("POST", "/stop"), ("DELETE", "")):
        answer = await admin.call(method, f"/operator/snapwatcher/none{path}")
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), path
    trigger = {"pod_name": "p", "namespace": "n", "cluster_name": "c", "registry": "none"}
    assert (await admin.post("/automation/trigger", trigger)).code == "NOT_FOUND"


async def test_wishes_are_kept_over_restarts(tmp_path: Path) -> None:
    def names(states: dict[str, Any]) -> dict[str, bool]:
        return {name: each["running"] for name, each in states["watchers"].items()}

    with running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client:
            new = {"name": "away", "api_server_url": "https://127.0.0.1:1", "token": "t"}
            await client.post("/config/clusters/create", new)
            for each in ("runs", "stands"):
                await client.post("/operator/snapwatcher", {"name": each, "cluster_name": "away"})
            await client.post("/operator/snapwatcher/stands/stop")
        server.process.kill()
        server.process.wait()
    with running_server(tmp_path / "data") as again:
        async with open_client(again.url, again.token) as client:
            states = (await client.get("/operator/watchers/status")).body
            assert names(states) == {"runs": True, "stands": False}
            begun = [line for line in again.log if "watcher_begun" in line]
            assert all('"runs"' in line for line in begun)


async def test_by_command_line(server: RunningServer, name: str, tmp_path: Path) -> None:
    person = Person(tmp_path, server.url)
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    words = ("--cluster", name, "-n", "shop", "--selector", "tier=web", "--warm-up", "8080/warm", "--keep-pods")
    watcher = fresh("watcher")
    created = person.ksnap("watcher", "create", watcher, *words)
    assert created.code == 0, created
    assert "warning: " in created.err
    assert "unreachable" in created.err
    shown = person.ksnap("watcher", "show", watcher, "-o", "json").json
    assert (shown["selector"], shown["auto_delete_pod"]) == ({"tier": "web"}, False)
    assert (shown["warm_up"]["port"], shown["warm_up"]["path"]) == (8080, "/warm")
    assert watcher in person.ksnap("watcher", "list").out
    assert person.ksnap("watcher", "start", watcher).code != 0
    assert person.ksnap("watcher", "stop", watcher).code == 0
    assert "no pod" in person.ksnap("watcher", "events", watcher).err
    assert person.ksnap("watcher", "delete", watcher).code == 0
    assert "not found" in person.ksnap("watcher", "show", watcher).err
    assert "KEY=VALUE" in person.ksnap("watcher", "create", watcher, "--cluster", name, "-l", "tier").err
