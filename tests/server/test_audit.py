"""The trail: each change leaves a line with who, what, from where, how it went and which request; never a secret."""

import asyncio
import sqlite3
from pathlib import Path

from tests.parties.server import RunningServer
from tests.server.client import Client, fresh

SECRET = "audit-secret-4711"


def lines(database: Path, request_id: str) -> list[tuple[str, str, str, str, str]]:
    connection = sqlite3.connect(database)
    try:
        query = "SELECT username, action, target, outcome, address FROM audit WHERE request_id = ?"
        return connection.execute(query, (request_id,)).fetchall()
    finally:
        connection.close()


async def test_each_change_and_each_login_leaves_a_line(server: RunningServer, admin: Client) -> None:
    name, user = fresh("audited"), fresh("user")
    registry = {"name": name, "url": "r.example", "username": "u", "password": SECRET}
    cluster = {"name": name, "api_server_url": "https://c.example", "auth_type": "token", "token": SECRET}
    calls: list[tuple[str, str, dict[str, object], tuple[str, str, str]]] = [
        ("POST", "/config/registry/create", {**registry}, ("registry_created", name, "ok")),
        ("POST", "/config/registry/create", {**registry}, ("registry_created", name, "ALREADY_EXISTS")),
        ("PUT", "/config/registry/update", {"name": name, "verify_ssl": False}, ("registry_updated", name, "ok")),
        ("POST", "/config/clusters/create", {**cluster}, ("cluster_created", name, "ok")),
        ("PUT", "/config/clusters/update", {"name": name, "timeout_s": 5}, ("cluster_updated", name, "ok")),
        ("DELETE", "/config/clusters/delete", {"name": name}, ("cluster_deleted", name, "ok")),
        ("DELETE", "/config/registry/delete", {"name": name}, ("registry_deleted", name, "ok")),
        ("DELETE", "/config/registry/delete", {"name": name}, ("registry_deleted", name, "NOT_FOUND")),
        (
            "POST",
            "/config/user/create",
            {"username": user, "password": SECRET, "role": "viewer"},
            ("user_created", user, "ok"),
        ),
        ("PUT", "/config/user/update", {"username": user, "role": "operator"}, ("user_updated", user, "ok")),
        ("DELETE", "/config/user/delete", {"username": user}, ("user_deleted", user, "ok")),
    ]
    for number, (method, path, body, line) in enumerate(calls):
        request_id = f"{name}.{number}"
        await admin.call(method, path, body, headers={"X-Request-Id": request_id})
        found = await asyncio.to_thread(lines, server.data_dir / "ksnap.db", request_id)
        assert found == [("admin", *line, "127.0.0.1")]
    request_id = f"{name}.login"
    login = {"username": fresh("nobody"), "password": SECRET}
    await admin.post("/config/user/login", login, headers={"X-Request-Id": request_id})
    found = await asyncio.to_thread(lines, server.data_dir / "ksnap.db", request_id)
    assert found == [(login["username"], "user_logged_in", login["username"], "AUTHENTICATION_FAILED", "127.0.0.1")]
    logged: list[str] = []
    async with asyncio.timeout(20):  # its thread reads a moment later
        while not logged:
            await asyncio.sleep(0.05)
            logged = [line for line in server.log if '"audited"' in line and request_id in line]
    assert f'"request_id": "{request_id}"' in logged[0]
    assert SECRET not in "".join(server.log)
