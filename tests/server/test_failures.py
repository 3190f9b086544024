"""One envelope for every failure, framework's included; bodies too large; request ids; methods and paths unknown."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from tests.parties.server import RunningServer
from tests.server.client import Client


async def test_an_unknown_path_is_not_found(anonymous: Client, admin: Client) -> None:
    for client in (anonymous, admin):
        answer = await client.get("/no/such/path")
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_an_unknown_method_is_405_and_says_which_are_known(anonymous: Client) -> None:
    answer = await anonymous.get("/config/user/login")
    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/checkpoint/unknown", 404, "NOT_FOUND"),
        ("GET", "/checkpoint/" + "0" * 19, 404, "NOT_FOUND"),
        ("GET", "/checkpoint/" + "0" * 20, 404, "NOT_FOUND"),
        ("DELETE", "/checkpoint/list", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/checkpoint/" + "0" * 20 + "/unknown", 404, "NOT_FOUND"),
    ],
)
async def test_a_checkpoints_path_takes_an_id_alone(
    admin: Client, method: str, path: str, status: int, code: str
) -> None:
    answer = await admin.call(method, path)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("content", ["{", "", "[1,", "nul", '{"username": "a"', "\x00", '"text"', "[]", "7"])
async def test_a_malformed_body_is_a_validation_error(anonymous: Client, content: str) -> None:
    answer = await anonymous.call(
        "POST", "/config/user/login", data=content.encode(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert answer.details


async def test_bytes_that_are_no_utf8_are_a_validation_error(anonymous: Client) -> None:
    answer = await anonymous.call(
        "POST", "/config/user/login", data=b'{"username": "\xff"}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")


async def test_deeply_nested_json_is_a_validation_error(anonymous: Client) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    answer = await anonymous.call(
        "POST", "/config/user/login", data=nested, headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")


async def test_a_body_that_is_no_json_is_a_validation_error(anonymous: Client) -> None:
    answer = await anonymous.call("POST", "/config/user/login", data={"username": "a", "password": "b"})
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")


async def test_a_value_is_never_repeated_in_a_failure(anonymous: Client) -> None:
    answer = await anonymous.post("/config/user/login", {"username": ["secret-4711"], "password": ["secret-4711"]})
    assert answer.status == 422
    assert "4711" not in answer.text


HALF = "\ud800"
"""Half of a surrogate pair: JSON can write it, UTF-8 cannot."""


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/config/user/login", {"username": "u", "password": HALF}, "password"),
        ("POST", "/config/user/login", {"username": HALF, "password": "p"}, "username"),
        ("POST", "/config/user/create", {"username": "u", "password": "x" * 9 + HALF, "role": "viewer"}, "password"),
        ("POST", "/config/user/create", {"username": "u", "password": "x" * 9, "role": "viewer", "name": HALF}, "name"),
        ("PUT", "/config/user/update", {"username": "admin", "password": HALF}, "password"),
        ("PUT", "/config/user/update", {"username": "admin", "password": "x", "current_password": HALF}, "current"),
        ("POST", "/config/registry/create", {"name": "n", "url": "r.x", "username": "u", "password": HALF}, "password"),
        ("PUT", "/config/registry/update", {"name": "n", "password": HALF}, "password"),
        ("POST", "/config/clusters/create", {"name": "n", "api_server_url": "https://x", "token": HALF}, "token"),
        ("PUT", "/config/clusters/update", {"name": "n", "kubeconfig_content": HALF}, "kubeconfig_content"),
        ("POST", "/cluster/status/report", {"checks": {HALF: "x"}}, "checks"),
    ],
)
async def test_text_that_utf8_cannot_write_is_a_validation_error(
    admin: Client, method: str, path: str, body: dict[str, object], field: str
) -> None:
    answer = await admin.call(method, path, body)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_a_request_id_is_echoed_if_it_is_well_formed(anonymous: Client) -> None:
    given = await anonymous.get("/health", headers={"X-Request-Id": "my-id.1"})
    assert given.headers["X-Request-Id"] == "my-id.1"
    for bad in ("a b", "x" * 65, "ä", "<script>"):
        answer = await anonymous.get("/health", headers={"X-Request-Id": bad})
        assert answer.headers["X-Request-Id"] != bad
        assert len(answer.headers["X-Request-Id"]) == 32


async def test_answers_carry_the_security_headers(anonymous: Client) -> None:
    answer = await anonymous.get("/health")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Server" not in answer.headers


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_read(server: RunningServer) -> None:
    """100 MB are announced and never sent; the answer comes all the same."""
    head = (
        "POST /config/user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 100000000\r\n\r\n{"
    )
    answer = await raw(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "PAYLOAD_TOO_LARGE"
    assert b"x-ratelimit-limit" in answer.lower()


async def test_a_chunked_body_over_the_limit_is_refused_as_soon_as_it_is(server: RunningServer) -> None:
    head = (
        "POST /config/user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = await raw(server, head.encode() + chunk + b"10\r\n" + b"x" * 16 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "PAYLOAD_TOO_LARGE"


async def test_garbage_instead_of_http_does_not_hurt(server: RunningServer, anonymous: Client) -> None:
    assert (await raw(server, b"\x16\x03\x01 not http\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await anonymous.get("/health")).status == 200


async def raw(server: RunningServer, request: bytes) -> bytes:
    """Send bytes as they are and read until the server ends the connection or has answered."""
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                None,
            )
            return head + (await reader.read() if length is None else await reader.readexactly(length))
    finally:
        writer.close()
