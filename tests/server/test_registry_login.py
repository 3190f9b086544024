"""POST /registry/login against real registries: what works, and each way in which it does not."""

import socket

import pytest

from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, needs_registry
from tests.server.client import Answer, Client, fresh

pytestmark = needs_registry


@pytest.fixture
def good(registry: RunningRegistry) -> dict[str, object]:
    ca = registry.certificate.ca_pem
    return {"url": registry.url, "username": USERNAME, "password": PASSWORD, "ca_cert": ca}


async def log_in(admin: Client, stored: dict[str, object]) -> Answer:
    name = fresh("login")
    assert (await admin.post("/config/registry/create", {"name": name, **stored})).status == 200
    answer = await admin.post("/registry/login", {"registry_config_name": name})
    await admin.delete("/config/registry/delete", {"name": name})
    assert PASSWORD not in answer.text
    return answer


async def test_a_good_account_logs_in(admin: Client, registry: RunningRegistry, good: dict[str, object]) -> None:
    answer = await log_in(admin, good)
    assert answer.status == 200
    assert answer.body["success"] is True
    assert answer.body["message"] == f"Successfully logged in to {registry.host}"
    assert answer.body["registry"].startswith("login-")


async def test_a_wrong_password_is_said_to_be_refused(admin: Client, good: dict[str, object]) -> None:
    answer = await log_in(admin, {**good, "password": "wrong"})
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")
    assert "401" in answer.text
    assert "ertificate" not in answer.text


async def test_an_unknown_authority_is_said_to_be_the_fault(admin: Client, good: dict[str, object]) -> None:
    answer = await log_in(admin, {**good, "ca_cert": ""})
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")
    assert "ertificate" in answer.details


async def test_verification_can_be_switched_off_for_one_registry(admin: Client, good: dict[str, object]) -> None:
    assert (await log_in(admin, {**good, "ca_cert": "", "verify_ssl": False})).status == 200


async def test_nobody_there_is_said_to_be_unreachable(admin: Client, good: dict[str, object]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes the port
        answer = await log_in(admin, {**good, "url": f"127.0.0.1:{held.getsockname()[1]}"})
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")
    assert "ertificate" not in answer.text
    assert "401" not in answer.text


async def test_an_unknown_name_is_not_found_and_a_bad_one_invalid(admin: Client) -> None:
    absent = await admin.post("/registry/login", {"registry_config_name": fresh("absent")})
    assert (absent.status, absent.code) == (404, "NOT_FOUND")
    for body in ({}, {"registry_config_name": "../x"}, {"registry_config_name": 1}):
        answer = await admin.post("/registry/login", body)
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert "registry_config_name" in answer.details
