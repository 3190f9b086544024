"""/config/registry/*: every row of the contract's section 3.4."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.parties.certificates import issue_certificate
from tests.parties.server import RunningServer
from tests.server.client import Client, fresh

SECRET = "registry-secret-4711"


@pytest.fixture
async def name(admin: Client) -> AsyncIterator[str]:
    name = fresh("registry")
    body = {"name": name, "url": "nexus.example:5000/team", "username": "robot", "password": SECRET}
    assert (await admin.post("/config/registry/create", body)).body["success"] is True
    yield name
    await admin.delete("/config/registry/delete", {"name": name})


async def listed(admin: Client, name: str) -> dict[str, Any]:
    answer = await admin.get("/config/registry/list")
    assert answer.status == 200
    assert set(answer.body) == {"success", "message", "registry_configs"}
    assert SECRET not in answer.text
    return next(each for each in answer.body["registry_configs"] if each["name"] == name)


async def test_a_list_shows_exactly_the_contracts_fields(admin: Client, name: str) -> None:
    assert await listed(admin, name) == {
        "name": name,
        "url": "nexus.example:5000/team",
        "username": "robot",
        "verify_ssl": True,
        "has_password": True,
    }


async def test_upstreams_name_for_the_url_is_taken(admin: Client) -> None:
    name = fresh("alias")
    assert (await admin.post("/config/registry/create", {"name": name, "registry": "r.example"})).status == 200
    assert (await listed(admin, name))["url"] == "r.example"
    assert (await listed(admin, name))["has_password"] is False
    assert (await admin.delete("/config/registry/delete", params={"name": name})).status == 200


async def test_a_taken_name_is_already_exists(admin: Client, name: str) -> None:
    answer = await admin.post("/config/registry/create", {"name": name, "url": "other.example"})
    assert (answer.status, answer.code) == (409, "ALREADY_EXISTS")
    assert (await listed(admin, name))["url"] == "nexus.example:5000/team"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": "Upper"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "-a"}, "name"),
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://user:pw@r.example"}, "url"),
        ({"url": "ftp://r.example"}, "url"),
        ({"url": "https://r.example/Upper"}, "url"),
        ({"url": "https://r.example/a?b=c"}, "url"),
        ({"url": "https://r.example:99999"}, "url"),
        ({"url": "https:///x"}, "url"),
        ({"url": "a..b"}, "url"),
        ({"url": "r.example/../x"}, "url"),
        ({"username": "robot"}, "password"),
        ({"password": SECRET}, "username"),
        ({"username": 1}, "username"),
        ({"verify_ssl": "yes"}, "verify_ssl"),
        ({"ca_cert": "no certificate"}, "ca_cert"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(admin: Client, change: dict[str, object], field: str) -> None:
    body = {"name": fresh("bad"), "url": "r.example", **change}
    answer = await admin.post("/config/registry/create", body)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details
    assert SECRET not in answer.text
    configs = (await admin.get("/config/registry/list")).body["registry_configs"]
    assert body["name"] not in [each["name"] for each in configs]


async def test_update_merges_and_an_empty_password_keeps_the_stored_one(admin: Client, name: str) -> None:
    assert (
        await admin.put("/config/registry/update", {"name": name, "verify_ssl": False, "password": ""})
    ).status == 200
    found = await listed(admin, name)
    assert (found["verify_ssl"], found["has_password"], found["username"]) == (False, True, "robot")
    assert (await admin.put("/config/registry/update", {"name": name, "username": ""})).status == 200
    assert (await listed(admin, name))["has_password"] is False
    again = await admin.put("/config/registry/update", {"name": name, "username": "robot"})
    assert (again.status, again.code) == (422, "VALIDATION_ERROR")


async def test_a_ca_is_taken_as_pem(admin: Client, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ca = issue_certificate(tmp_path_factory.mktemp("ca")).ca_pem
    assert (await admin.put("/config/registry/update", {"name": name, "ca_cert": ca})).status == 200


async def test_a_cas_comments_may_be_of_any_language(
    admin: Client, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = "# Zürich\n" + issue_certificate(tmp_path_factory.mktemp("ca")).ca_pem
    change = {"name": name, "ca_cert": ca, "url": "127.0.0.1:1"}
    assert (await admin.put("/config/registry/update", change)).status == 200
    answer = await admin.post("/registry/login", {"registry_config_name": name})
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")


async def test_what_is_not_there_is_not_found(admin: Client) -> None:
    absent = {"name": fresh("absent")}
    for answer in (
        await admin.put("/config/registry/update", {**absent, "url": "r.example"}),
        await admin.delete("/config/registry/delete", absent),
    ):
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
        assert absent["name"] in answer.details


async def test_a_registry_that_a_cluster_names_stays(admin: Client, name: str) -> None:
    cluster = fresh("cluster")
    body = {
        "name": cluster,
        "api_server_url": "https://c.example",
        "auth_type": "token",
        "token": "t",
        "registry_name": name,
    }
    assert (await admin.post("/config/clusters/create", body)).status == 200
    answer = await admin.delete("/config/registry/delete", {"name": name})
    assert (answer.status, answer.code) == (409, "CONFLICT")
    assert cluster in answer.details
    await admin.delete("/config/clusters/delete", {"name": cluster})
    assert (await admin.delete("/config/registry/delete", {"name": name})).status == 200


async def test_delete_takes_body_or_query_and_no_contradiction(admin: Client, name: str) -> None:
    both = await admin.delete("/config/registry/delete", {"name": name}, params={"name": "other"})
    assert (both.status, both.code) == (422, "VALIDATION_ERROR")
    assert (await admin.delete("/config/registry/delete")).code == "VALIDATION_ERROR"
    assert (await admin.delete("/config/registry/delete", {"name": name}, params={"name": name})).status == 200


async def test_the_password_is_nowhere_in_clear(server: RunningServer, admin: Client, name: str) -> None:
    stored = b"".join(each.read_bytes() for each in server.data_dir.iterdir() if each.is_file())
    assert name.encode() in stored
    assert SECRET.encode() not in stored
    assert SECRET not in "".join(server.log)
