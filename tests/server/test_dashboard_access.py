"""Every route of the dashboard asks who is there before it says anything else; the few that don't are named here."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from yarl import URL

from tests.parties.server import RunningServer, running_server
from tests.server.client import Client

# Contract dashboard-api, section 2.
WITHOUT_TOKEN = {
    "GET /api/v1/csrftoken/{action}",
    "GET /api/v1/integration/{name}/state",
    "POST /api/v1/login",
    "POST /api/v1/appdeployment/validate/imagereference",
    "POST /api/v1/appdeployment/validate/protocol",
    "GET /api/v1/appdeployment/protocols",
    "GET /settings",
    "GET /settings/pinnedresources",
    "GET /config",
    "GET /systembanner",
    # The same at the paths of version 2.7, and what it asks before its login page.
    "GET /api/v1/settings/global",
    "GET /api/v1/settings/pinner",
    "GET /api/v1/systembanner",
    "GET /api/v1/login/status",
    "GET /api/v1/login/modes",
    "GET /api/v1/login/skippable",
}


@pytest.fixture
async def operations(admin: Client) -> list[tuple[str, str]]:
    document: dict[str, Any] = (await admin.get("/openapi.json")).body
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "dashboard" in operation.get("tags", ())
    ]


async def test_no_token_no_answer(anonymous: Client, operations: list[tuple[str, str]]) -> None:
    assert operations
    wrong = []
    for method, path in operations:
        if f"{method} {path}" in WITHOUT_TOKEN:
            continue
        action = path.removeprefix("/api/v1/").split("/")[0] or "root"  # at the root nothing is posted
        token = (await anonymous.get(f"/api/v1/csrftoken/{action}")).body["token"]
        filled = re.sub(r"{[^}]*}", "x", path)
        headers = {"X-CSRF-TOKEN": token, "Content-Type": "application/json"}
        async with anonymous.session.request(method, filled, data=b"{}", headers=headers) as answer:
            if (answer.status, await answer.text()) != (401, "MSG_LOGIN_UNAUTHORIZED_ERROR"):
                wrong.append(f"{method} {path}: {answer.status}")
    assert wrong == []


async def test_the_budget_is_not_that_of_the_snap_routes(anonymous: Client) -> None:
    ours = await anonymous.get("/api/v1/csrftoken/login")
    assert ours.headers["X-RateLimit-Limit"] == "100000"


async def test_without_a_cluster_there_is_no_default_one(admin: Client) -> None:
    async with admin.session.get("/api/v1/me") as answer:
        assert (answer.status, "no cluster is configured" in await answer.text()) == (404, True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("no-cluster") / "data") as running:
        yield running


def test_a_key_of_the_wrong_length_is_refused_at_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"KSNAP_CSRF_KEY": "c2hvcnQ="}
    with pytest.raises(AssertionError, match="256 bytes"), running_server(tmp_path_factory.mktemp("key"), settings):
        pass


async def test_a_slash_at_the_end_changes_nothing(anonymous: Client) -> None:
    for path in ("/api/v1/csrftoken/login/", "/clusters/none/api/v1/csrftoken/login/"):
        async with anonymous.session.get(path) as answer:
            assert answer.status == 200, path
    async with anonymous.session.get("/api/v1/csrftoken/login//") as answer:
        assert answer.status == 404


async def test_a_line_break_leads_out_of_nothing(anonymous: Client) -> None:
    """Paths are judged as they are, before any route is found."""
    async with anonymous.session.get(URL("/api/v1/csrftoken/a%0Ab", encoded=True)) as answer:
        assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "100000")


async def test_no_path_climbs(admin: Client) -> None:
    for dots in ("%2e%2e", "%2E"):
        path = URL(f"/api/v1/csrftoken/{dots}", encoded=True)
        async with admin.session.get(path) as answer:
            assert (answer.status, "dot" in await answer.text()) == (400, True), dots
