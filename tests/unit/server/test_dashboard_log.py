"""What of requests on the dashboard's paths is logged: no secret, no line that a client made, and not too much."""

from typing import Any, Literal

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from ksnap.server.middleware.dashboard_log import HIDDEN, SHOWN_BYTES, DashboardLog
from ksnap.server.proxies import TrustedProxies
from tests.parties.asgi import call

SECRET = b'{"token": "secret-4711"}'


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body, 201)(scope, receive, send)


def logged(level: Literal["INFO", "DEBUG"]) -> ASGIApp:
    return DashboardLog(echo, level=level, proxies=TrustedProxies(()))


async def lines(path: str, *chunks: bytes, level: Literal["INFO", "DEBUG"] = "INFO", method: str = "POST") -> list[Any]:
    """The log's lines; the handler gets the whole body in any case."""
    headers = [("Content-Length", str(sum(map(len, chunks))))] if chunks else []
    with capture_logs() as found:
        _status, _headers, body = await call(
            logged(level), path, method=method, headers=headers, chunks=chunks or (b"",)
        )
    assert body == b"".join(chunks)
    return found


async def test_before_and_after() -> None:
    request, response = await lines("/api/v1/namespace", b'{"name":', b'"x"}')
    assert request == {
        "event": "dashboard_request",
        "log_level": "info",
        "protocol": "HTTP/1.1",
        "method": "POST",
        "uri": "/api/v1/namespace",
        "client": "192.0.2.9",
        "body": '{"name":"x"}',
    }
    assert response == {"event": "dashboard_response", "log_level": "info", "client": "192.0.2.9", "status": 201}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/login",
        "/api/v1/login/",
        "/clusters/prod/api/v1/login",
        "/api/v1/secret",
        "/api/v1/_raw/secret/namespace/a/name/b",
        "/api/v1/appdeployment",
        "/api/v1/appdeploymentfromfile",
        "/settings",
        "/api/v1/not/known",
    ],
)
async def test_bodies_are_hidden_unless_they_are_known_to_be_harmless(path: str) -> None:
    assert (await lines(path, SECRET))[0]["body"] == HIDDEN
    assert "secret-4711" in (await lines(path, SECRET, level="DEBUG"))[0]["body"]


async def test_other_paths_are_not_logged() -> None:
    assert await lines("/config/user/login", SECRET, level="DEBUG") == []
    assert await lines("/api/sockjs/1/2/xhr_send", SECRET, level="DEBUG") == []


async def test_no_body_is_nothing_and_nothing_is_waited_for() -> None:
    assert (await lines("/api/v1/pod", method="GET"))[0]["body"] == ""


async def test_long_bodies_and_control_characters() -> None:
    long = await lines("/api/v1/namespace", b"a" * 3000, b"b" * 3000, b"c" * 3000)
    assert len(long[0]["body"]) == SHOWN_BYTES + 1
    hostile = (await lines("/api/v1/namespace", "\x1b[31m\nfake\u2028\u0085 %s \xff".encode(), b"\xff"))[0]["body"]
    assert hostile == "\\u001b[31m\\u000afake\\u2028\\u0085 %s \xff\ufffd"
