"""Who may call what: every route of the OpenAPI document, with every role and without a token."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.client import Client, fresh, open_client

ROLES = ("anonymous", "viewer", "operator", "administrator")
PASSWORD = "securepassword"
# The contract's roles (sections 1 and 3); what is not named here is ours and says its role itself.
CONTRACT = {
    "GET /health": "anonymous",
    "POST /config/user/login": "anonymous",
    "POST /config/user/verify": "viewer",
    "PUT /config/user/update": "viewer",
    "POST /config/user/create": "administrator",
    "GET /config/user/list": "administrator",
    "DELETE /config/user/delete": "administrator",
    "POST /config/registry/create": "administrator",
    "GET /config/registry/list": "viewer",
    "PUT /config/registry/update": "administrator",
    "DELETE /config/registry/delete": "administrator",
    "POST /config/clusters/create": "administrator",
    "GET /config/clusters/list": "viewer",
    "PUT /config/clusters/update": "administrator",
    "DELETE /config/clusters/delete": "administrator",
    "POST /registry/login": "operator",
    "POST /registry/create_and_push_checkpoint_container": "operator",
    "POST /checkpoint/kubelet/checkpoint": "operator",
    "POST /checkpoint/kubelet/checkpoint-and-push": "operator",
    "GET /checkpoint/list": "viewer",
    "GET /checkpoint/download/{pod_name}/{filename}": "operator",
    "POST /cluster/enable_checkpointing": "viewer",
    "POST /cluster/install_runc": "viewer",
    "POST /cluster/verify_checkpointing": "viewer",
    "GET /cluster/statistics": "viewer",
    "GET /cluster/status/{cluster_name}": "viewer",
    "GET /cluster/status/summary": "viewer",
    "POST /cluster/status/report": "agent",
    "POST /snaphook": "administrator",
    "POST /snaphook/{name}/start": "operator",
    "POST /snaphook/{name}/stop": "operator",
    "GET /snaphook/list": "viewer",
    "DELETE /snaphook/{name}": "administrator",
    "GET /snaphook/{name}": "viewer",
    "GET /snaphook/{name}/status": "viewer",
    "GET /snaphook/{name}/test-connectivity": "viewer",
    "POST /snaphook/{name}/renew-certificates": "administrator",
    "POST /automation/trigger": "operator",
    "POST /operator/start": "operator",
    "POST /operator/stop": "operator",
    "GET /operator/status": "viewer",
    "POST /operator/snapwatcher": "operator",
    "GET /operator/snapwatcher/{name}": "viewer",
    "GET /operator/snapwatcher/{name}/status": "viewer",
    "GET /operator/snapwatcher/{name}/events": "viewer",
    "PUT /operator/snapwatcher/{name}": "operator",
    "POST /operator/snapwatcher/{name}/start": "operator",
    "POST /operator/snapwatcher/{name}/stop": "operator",
    "DELETE /operator/snapwatcher/{name}": "operator",
    "GET /operator/snapwatchers/{cluster_name}": "viewer",
    "GET /operator/watchers/status": "viewer",
}


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    role: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(openapi: dict[str, Any]) -> list[Route]:
    found = []
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            if "dashboard" in operation.get("tags", ()):
                continue  # Kubernetes says what one may do there: test_dashboard_access.py
            scopes = [scope for each in operation.get("security", []) for scope in each["token"]]
            found.append(Route(method.upper(), path, scopes[0] if scopes else "anonymous"))
    return found


@pytest.fixture
async def routes(anonymous: Client) -> list[Route]:
    return routes_of((await anonymous.get("/openapi.json")).body)


@pytest.fixture
async def clients(server: RunningServer, admin: Client) -> AsyncIterator[dict[str, Client]]:
    """One client a role."""
    names = {role: fresh(role) for role in ROLES[1:]}
    tokens = {}
    for role, name in names.items():
        assert (
            await admin.post("/config/user/create", {"username": name, "password": PASSWORD, "role": role})
        ).status == 200
        tokens[role] = server.login(name, PASSWORD)
    async with (
        open_client(server.url) as anonymous,
        open_client(server.url, tokens["viewer"]) as viewer,
        open_client(server.url, tokens["operator"]) as operator,
        open_client(server.url, tokens["administrator"]) as administrator,
    ):
        yield {"anonymous": anonymous, "viewer": viewer, "operator": operator, "administrator": administrator}
    for name in names.values():
        await admin.delete("/config/user/delete", {"username": name})


async def test_routes_ask_for_the_contracts_roles(routes: list[Route]) -> None:
    known = {str(route): route.role for route in routes}
    differing = {name: (known.get(name), role) for name, role in CONTRACT.items() if known.get(name) != role}
    assert differing == {}


async def test_nothing_but_login_and_health_is_anonymous(routes: list[Route]) -> None:
    anonymous = {str(route) for route in routes if route.role == "anonymous"}
    assert anonymous == {"POST /config/user/login", "GET /health", "GET /health/live", "GET /health/ready"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("content", ["{}", "{"])
async def test_each_role_gets_what_it_may_and_no_more(
    routes: list[Route], clients: dict[str, Client], content: str
) -> None:
    """A body is refused for its content, be it no JSON at all, only by a route that one may call."""
    wrong = []
    for route in routes:
        for role in ROLES:
            answer = await clients[role].call(
                route.method, _filled(route.path), data=content, headers={"Content-Type": "application/json"}
            )
            may = _may(role, route.role)
            refused = answer.status in {401, 403} and route.path != "/config/user/login"
            unnamed = role == "anonymous" and not may
            if refused == may or (unnamed and answer.status != 401):
                wrong.append((str(route), role, answer.status))
            assert answer.status != 500, (str(route), role, answer.body)
    assert wrong == []


async def test_the_documentation_is_anonymous_and_needs_no_foreign_host(anonymous: Client) -> None:
    for path in ("/docs", "/redoc"):
        page = await anonymous.get(path)
        assert page.status == 200
        assert "cdn" not in page.text
        assert "googleapis" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
        assert (await anonymous.get(f"/static-offline-docs/{asset}")).status == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Bearer x", "Bearer a.b.c", "Bearer " + "x" * 9000, "Token x"],
)
async def test_a_header_that_is_no_valid_token_is_401(anonymous: Client, header: str) -> None:
    answer = await anonymous.get("/config/user/list", headers={"Authorization": header})
    assert (answer.status, answer.code) == (401, "AUTHENTICATION_FAILED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_that_says_it_is_a_service_accounts_is_not_believed(anonymous: Client) -> None:
    claims = {"sub": "system:serviceaccount:ksnap:ksnap-agent", "iss": "https://kubernetes.default.svc"}
    for forged in _forged(claims):
        answer = await anonymous.get("/config/user/list", headers={"Authorization": f"Bearer {forged}"})
        assert (answer.status, answer.code) == (401, "AUTHENTICATION_FAILED")


async def test_our_issuer_with_another_key_or_algorithm_is_not_believed(
    server: RunningServer, anonymous: Client
) -> None:
    now = 2_000_000_000
    claims = {"iss": "ksnap", "sub": "admin", "role": "administrator", "iat": 1, "exp": now, "jti": "x", "gen": 1}
    for forged in _forged(claims):
        answer = await anonymous.get("/config/user/list", headers={"Authorization": f"Bearer {forged}"})
        assert answer.status == 401


@pytest.mark.timeout(150)  # three starts of a server
async def test_a_one_time_password_allows_its_change_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("first") / "data"
    with running_server(folder, admin_password=None) as server:
        shown = [line for line in server.log if "one-time password" in line]
        assert len(shown) == 1
        password = shown[0].split()[-1]
        assert not any(password in line for line in server.log if line.startswith("{"))
        async with open_client(server.url, server.login("admin", password)) as client:
            verified = await client.post("/config/user/verify")
            assert verified.body["user"]["must_change_password"] is True
            routes = routes_of((await client.get("/openapi.json")).body)
            free = {"POST /config/user/verify", "PUT /config/user/update"}
            for route in (each for each in routes if each.role != "anonymous" and str(each) not in free):
                refused = await client.call(
                    route.method, _filled(route.path), data="{", headers={"Content-Type": "application/json"}
                )
                assert (refused.status, refused.code) == (403, "PERMISSION_DENIED"), route
                assert "/config/user/update" in refused.details
            other = {"username": "admin", "name": "still not"}
            assert (await client.put("/config/user/update", other)).status == 403
            change = {"username": "admin", "password": ADMIN_PASSWORD, "current_password": password}
            assert (await client.put("/config/user/update", change)).status == 200
        async with open_client(server.url, server.token) as client:
            assert (await client.get("/config/user/list")).status == 200
        assert server.stop() == 0
    with running_server(folder, admin_password=None) as again:
        assert not any("one-time" in line for line in again.log)
        assert again.token


def _forged(claims: Mapping[str, object]) -> list[str]:
    """Tokens that a careless verification takes: unsigned, and signed by an algorithm of the forger's choice."""
    return [jwt.encode(dict(claims), "", algorithm="none"), jwt.encode(dict(claims), "k" * 32, algorithm="HS256")]


def _filled(path: str) -> str:
    """The path with harmless parameters: an id and names that nothing has."""
    if path == "/progress/events":
        path += "?job_id=" + "0" * 20  # whose answer ends, unlike that about all jobs
    return re.sub(r"\{[^}]+\}", "none", path.replace("{checkpoint_id}", "0" * 20))


def _may(role: str, needed: str) -> bool:
    if needed == "agent":
        return role == "administrator"
    return ROLES.index(role) >= ROLES.index(needed)
