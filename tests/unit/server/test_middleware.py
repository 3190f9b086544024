"""The layers around a request, called as ASGI applications: an error of ours, limits of bodies, addresses, ids."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.errors import ClusterNotFound, InsufficientStorage
from ksnap.server import failures
from ksnap.server.metrics import RequestMetrics
from ksnap.server.middleware.body import BodyLimit
from ksnap.server.middleware.context import RequestContext
from ksnap.server.middleware.unexpected import Unexpected
from tests.parties.asgi import call


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("secret-4711")

    @app.get("/missing")
    async def missing() -> None:
        raise ClusterNotFound("Cluster not found", details="no cluster named 'x'", hint="Look at the list")

    @app.get("/full")
    async def full() -> None:
        raise InsufficientStorage("The blob store is full")

    @app.get("/address")
    async def address(request: Request) -> str:
        return str(request.scope["state"]["address"])

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    failures.install(app)
    app.add_middleware(Unexpected)
    return app


def wrapped(*proxies: str) -> tuple[ASGIApp, RequestMetrics]:
    metrics = RequestMetrics()
    inner = BodyLimit(application(), limit_bytes=10)
    return RequestContext(inner, trusted_proxies=[ip_network(each) for each in proxies], metrics=metrics), metrics


async def test_an_error_of_ours_is_its_request_id_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    app, metrics = wrapped()
    status, headers, body = await call(app, "/crash", headers=[("X-Request-Id", "abc")])
    assert status == 500
    assert json.loads(body) == {"success": False, "error": "Internal error", "details": "abc", "code": "INTERNAL_ERROR"}
    assert headers["x-request-id"] == "abc"
    assert b"4711" not in body
    assert 'route="/crash",status="500"' in metrics.text().decode()
    assert "RuntimeError" in capsys.readouterr().out, "the trace is in the log"


async def test_an_expected_failure_carries_its_hint() -> None:
    status, _headers, body = await call(wrapped()[0], "/missing")
    assert status == 404
    assert json.loads(body) == {
        "success": False,
        "error": "Cluster not found",
        "details": "no cluster named 'x'. Look at the list",
        "code": "CLUSTER_NOT_FOUND",
    }
    assert (await call(wrapped()[0], "/full"))[0] == 507


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ([b"x" * 10], [], 200),
        ([b"x" * 11], [], 413),
        ([b"x" * 6, b"x" * 5], [], 413),
        ([b"x"], [("Content-Length", "11")], 413),
        ([b"x"], [("Content-Length", "-1")], 422),
        ([b"x"], [("Content-Length", "1e9")], 422),
    ],
)
async def test_a_body_has_a_limit(chunks: list[bytes], headers: list[tuple[str, str]], status: int) -> None:
    answered, _headers, body = await call(wrapped()[0], "/body", method="POST", chunks=chunks, headers=headers)
    assert answered == status
    if status != 200:
        assert set(json.loads(body)) == {"success", "error", "details", "code"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)
async def test_an_address_is_the_first_that_no_trusted_proxy_has(peer: str, forwarded: str, address: str) -> None:
    app, _metrics = wrapped("10.0.0.0/8", "fd00::/8")
    headers = [("X-Forwarded-For", forwarded)] if forwarded else []
    _status, _headers, body = await call(app, "/address", client=peer, headers=headers)
    assert json.loads(body) == address


async def test_a_list_of_addresses_may_stand_on_several_lines() -> None:
    """A proxy that appends a line of its own leaves the client's line first: that one is not believed."""
    app, _metrics = wrapped("10.0.0.0/8")
    headers = [("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-For", "198.51.100.1")]
    _status, _headers, body = await call(app, "/address", client="10.0.0.1", headers=headers)
    assert json.loads(body) == "198.51.100.1"


async def test_a_connection_that_crashes_is_closed_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Accepted or not: 1011, or 500 as the answer to the handshake."""
    for accepts in (True, False):
        sent: list[Message] = []

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            if accepts:  # noqa: B023 - called within its turn
                await send({"type": "websocket.accept"})
            raise RuntimeError("secret-4711")

        async def sending(message: Message) -> None:
            sent.append(message)  # noqa: B023 - as above

        app = RequestContext(Unexpected(inner), trusted_proxies=(), metrics=RequestMetrics())
        headers = [(b"x-request-id", b"abc")]
        scope: Scope = {"type": "websocket", "path": "/ws", "headers": headers, "client": ("192.0.2.1", 1)}
        await app(scope, None, sending)  # type: ignore[arg-type] # nothing is received
        log = capsys.readouterr().out
        assert "RuntimeError" in log
        assert "connection_closed" in log
        assert (b"x-request-id", b"abc") in sent[0]["headers"]
        if accepts:
            assert sent[-1] == {"type": "websocket.close", "code": 1011}
        else:
            assert sent[0]["status"] == 500
            assert b"4711" not in sent[1]["body"]


async def test_other_protocols_pass_through() -> None:
    passed: list[Any] = []

    async def inner(scope: Scope, receive: object, send: object) -> None:
        passed.append(scope["type"])

    app = RequestContext(BodyLimit(Unexpected(inner), limit_bytes=1), trusted_proxies=(), metrics=RequestMetrics())
    scope: Scope = {"type": "lifespan"}
    await app(scope, None, None)  # type: ignore[arg-type] # nothing is received or sent
    assert passed == ["lifespan"]
