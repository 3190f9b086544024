"""/config/user/*: every row of the contract's section 3.4 and of its conventions on logins."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from tests.parties.server import ADMIN_PASSWORD, RunningServer
from tests.server.client import Client, fresh, open_client

PASSWORD = "securepassword"


@pytest.fixture
async def username(admin: Client) -> AsyncIterator[str]:
    name = fresh("user")
    answer = await admin.post(
        "/config/user/create",
        {"username": name, "password": PASSWORD, "role": "viewer", "email": "u@example.org", "name": "U"},
    )
    assert answer.status == 200
    yield name
    await admin.delete("/config/user/delete", {"username": name})


async def log_in(client: Client, username: str, password: str = PASSWORD) -> str:
    answer = await client.post("/config/user/login", {"username": username, "password": password})
    assert answer.status == 200, answer.body
    return str(answer.body["token"])


async def test_login_answers_as_the_contract_says(anonymous: Client, username: str) -> None:
    answer = await anonymous.post("/config/user/login", {"username": username, "password": PASSWORD, "more": 1})
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.body) == {"success", "token", "expires_at", "user"}
    assert answer.body["user"] == {
        "username": username,
        "name": "U",
        "role": "viewer",
        "must_change_password": False,
    }
    assert answer.body["expires_at"].endswith("Z")


async def test_a_token_has_the_contracts_claims_and_is_rs256(anonymous: Client, username: str) -> None:
    header, claims, _signature = (await log_in(anonymous, username)).split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "===")) for part in (header, claims)]
    assert decoded[0]["alg"] == "RS256"
    assert decoded[1]["sub"] == username
    assert decoded[1]["role"] == "viewer"
    assert decoded[1]["exp"] - decoded[1]["iat"] in {3599, 3600}
    assert {"jti", "gen"} <= set(decoded[1])


async def test_unknown_user_and_wrong_password_are_answered_alike(anonymous: Client, username: str) -> None:
    wrong = await anonymous.post("/config/user/login", {"username": username, "password": "wrong wrong"})
    unknown = await anonymous.post("/config/user/login", {"username": fresh("no"), "password": "wrong wrong"})
    assert wrong.status == unknown.status == 401
    assert wrong.code == "AUTHENTICATION_FAILED"
    assert wrong.body == unknown.body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "x"}, "username"),
        ({"username": "x"}, "password"),
        ({"username": 7, "password": "x"}, "username"),
        ({"username": "x", "password": None}, "password"),
        ({"username": "x\x00", "password": "x"}, "username"),
    ],
)
async def test_a_login_without_its_fields_names_them(anonymous: Client, body: dict[str, object], field: str) -> None:
    answer = await anonymous.post("/config/user/login", body)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_five_failures_lock_the_pair_out_and_say_the_same(anonymous: Client, username: str) -> None:
    bodies = []
    for _ in range(6):
        answer = await anonymous.post("/config/user/login", {"username": username, "password": "wrong wrong"})
        assert answer.status == 401
        bodies.append(answer.body)
    right = await anonymous.post("/config/user/login", {"username": username, "password": PASSWORD})
    assert right.status == 401
    assert all(body == right.body for body in bodies)


async def test_a_right_password_forgives_earlier_failures(anonymous: Client, username: str) -> None:
    for _ in range(2):
        for _ in range(4):
            await anonymous.post("/config/user/login", {"username": username, "password": "wrong wrong"})
        await log_in(anonymous, username)


async def test_create_answers_success_and_list_shows_it_without_secrets(admin: Client, username: str) -> None:
    answer = await admin.get("/config/user/list")
    assert answer.status == 200
    assert set(answer.body) == {"success", "message", "users"}
    listed = next(each for each in answer.body["users"] if each["username"] == username)
    assert set(listed) == {"username", "name", "email", "role", "created_at"}
    assert (listed["name"], listed["email"], listed["role"]) == ("U", "u@example.org", "viewer")
    assert "argon2" not in answer.text


async def test_a_taken_name_is_already_exists(admin: Client, username: str) -> None:
    answer = await admin.post("/config/user/create", {"username": username, "password": PASSWORD, "role": "viewer"})
    assert (answer.status, answer.code) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "../x"}, "username"),
        ({"username": "a" * 65}, "username"),
        ({"username": ""}, "username"),
        ({"username": None}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "abcdefgh"}, "password"),
        ({"password": 12345678}, "password"),
        ({"role": "root"}, "role"),
        ({"role": "agent"}, "role"),
        ({"email": ["x"]}, "email"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_a_bad_field_of_a_new_user_is_named(admin: Client, change: dict[str, object], field: str) -> None:
    body = {"username": "abcdefgh", "password": PASSWORD, "role": "viewer", **change}
    answer = await admin.post("/config/user/create", body)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("missing", ["username", "password", "role"])
async def test_a_missing_field_of_a_new_user_is_named(admin: Client, missing: str) -> None:
    body = {"username": "abcdefgh", "password": PASSWORD, "role": "viewer"}
    del body[missing]
    answer = await admin.post("/config/user/create", body)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert f"{missing}: Field required" in answer.details


@pytest.mark.parametrize(("given", "canonical"), [("admin", "administrator"), ("user", "operator")])
async def test_role_aliases_are_taken_and_answered_canonically(admin: Client, given: str, canonical: str) -> None:
    name = fresh("alias")
    await admin.post("/config/user/create", {"username": name, "password": PASSWORD, "role": given})
    users = (await admin.get("/config/user/list")).body["users"]
    assert next(each["role"] for each in users if each["username"] == name) == canonical
    await admin.delete("/config/user/delete", {"username": name})


async def test_verify_says_who_one_is(server: RunningServer, anonymous: Client, username: str) -> None:
    async with open_client(server.url, await log_in(anonymous, username)) as client:
        answer = await client.post("/config/user/verify")
    assert answer.status == 200
    assert answer.body["success"] is True
    assert {"username": username, "name": "U", "role": "viewer"}.items() <= answer.body["user"].items()
    assert (await anonymous.post("/config/user/verify")).status == 401


async def test_update_merges_and_keeps_what_is_absent(admin: Client, username: str) -> None:
    assert (await admin.put("/config/user/update", {"username": username, "email": "new@example.org"})).status == 200
    users = (await admin.get("/config/user/list")).body["users"]
    user = next(each for each in users if each["username"] == username)
    assert (user["email"], user["name"]) == ("new@example.org", "U")
    assert (await admin.put("/config/user/update", {"username": fresh("no"), "name": "x"})).code == "NOT_FOUND"


async def test_a_changed_role_or_password_ends_the_tokens(
    server: RunningServer, admin: Client, anonymous: Client, username: str
) -> None:
    token = await log_in(anonymous, username)
    async with open_client(server.url, token) as client:
        assert (await client.post("/config/user/verify")).status == 200
        await admin.put("/config/user/update", {"username": username, "role": "operator"})
        refused = await client.post("/config/user/verify")
        assert (refused.status, refused.code) == (401, "AUTHENTICATION_FAILED")
    token = await log_in(anonymous, username)
    await admin.put("/config/user/update", {"username": username, "password": "another password"})
    async with open_client(server.url, token) as client:
        assert (await client.post("/config/user/verify")).status == 401
    assert await log_in(anonymous, username, "another password")


async def test_an_empty_password_changes_nothing(admin: Client, anonymous: Client, username: str) -> None:
    await admin.put("/config/user/update", {"username": username, "password": ""})
    assert await log_in(anonymous, username)


async def test_one_may_change_oneself_but_not_ones_role_nor_others(
    server: RunningServer, anonymous: Client, username: str
) -> None:
    async with open_client(server.url, await log_in(anonymous, username)) as client:
        assert (await client.put("/config/user/update", {"username": username, "name": "Me"})).status == 200
        for name in ("administrator", "viewer"):  # be it the one that one has
            role = await client.put("/config/user/update", {"username": username, "role": name})
            assert (role.status, role.code) == (403, "PERMISSION_DENIED")
        other = await client.put("/config/user/update", {"username": "admin", "name": "x"})
        assert (other.status, other.code) == (403, "PERMISSION_DENIED")


async def test_ones_own_password_needs_the_current_one(server: RunningServer, anonymous: Client, username: str) -> None:
    async with open_client(server.url, await log_in(anonymous, username)) as client:
        change = {"username": username, "password": "another password"}
        missing = await client.put("/config/user/update", change)
        assert (missing.status, missing.code) == (422, "VALIDATION_ERROR")
        wrong = await client.put("/config/user/update", {**change, "current_password": "wrong wrong"})
        assert (wrong.status, wrong.code) == (403, "PERMISSION_DENIED")
        assert all("current_password" in each.details for each in (missing, wrong))
        body = {"username": username, "password": "another password", "current_password": PASSWORD}
        assert (await client.put("/config/user/update", body)).status == 200
        assert (await client.post("/config/user/verify")).status == 401
    assert await log_in(anonymous, username, "another password")


async def test_the_last_administrator_stays(server: RunningServer, admin: Client) -> None:
    deleted = await admin.delete("/config/user/delete", {"username": "admin"})
    assert (deleted.status, deleted.code) == (409, "CONFLICT")
    demoted = await admin.put("/config/user/update", {"username": "admin", "role": "viewer"})
    assert (demoted.status, demoted.code) == (409, "CONFLICT")
    assert server.login("admin", ADMIN_PASSWORD)


async def test_a_deleted_users_token_is_refused(server: RunningServer, admin: Client, anonymous: Client) -> None:
    name = fresh("gone")
    await admin.post("/config/user/create", {"username": name, "password": PASSWORD, "role": "viewer"})
    token = await log_in(anonymous, name)
    assert (await admin.delete("/config/user/delete", params={"username": name})).status == 200
    async with open_client(server.url, token) as client:
        assert (await client.post("/config/user/verify")).code == "AUTHENTICATION_FAILED"
    assert (await admin.delete("/config/user/delete", {"username": name})).code == "NOT_FOUND"


async def test_an_address_may_be_as_long_as_addresses_are(admin: Client, username: str) -> None:
    for email, status in (("a@" + "x" * 318, 200), ("a@" + "x" * 319, 422)):
        answer = await admin.put("/config/user/update", {"username": username, "email": email})
        assert answer.status == status


async def test_the_query_may_name_what_the_body_does_not(admin: Client) -> None:
    for path, name in (("user", "username"), ("registry", "name"), ("clusters", "name")):
        answer = await admin.delete(f"/config/{path}/delete", {}, params={name: fresh("no")})
        assert answer.status == 404
        neither = await admin.delete(f"/config/{path}/delete", {})
        assert (neither.status, neither.code) == (422, "VALIDATION_ERROR")
        assert name in neither.details


async def test_a_delete_that_contradicts_itself_is_refused(admin: Client) -> None:
    both = await admin.delete("/config/user/delete", {"username": "a"}, params={"username": "b"})
    assert (both.status, both.code) == (422, "VALIDATION_ERROR")
    neither = await admin.delete("/config/user/delete")
    assert (neither.status, neither.code) == (422, "VALIDATION_ERROR")
    assert "username" in neither.details
