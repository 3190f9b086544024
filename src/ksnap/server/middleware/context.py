"""The outermost layer: request id, client address, access log, metrics, the headers that every answer carries.

The log line of a request names its method, route, status, time, user and address: no query, no header, no body, so
no secret can be in it. A WebSocket has two lines: when it is accepted, and with its close code when it has ended; a
refused one has a status, as any request.
"""

import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.identity.principal import Principal
from ksnap.server.metrics import RequestMetrics
from ksnap.server.paths import is_dashboard, is_sockjs, shown
from ksnap.server.proxies import TrustedProxies
from ksnap.settings import Network

_log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
ANSWERS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
ABNORMAL = 1006
"""What RFC 6455 calls a connection that ended without a close frame."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class RequestContext:
    """Gives each request its id and address, and each answer its headers and log line."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[Network], metrics: RequestMetrics) -> None:
        self._app = app
        self._proxies = TrustedProxies(tuple(trusted_proxies))
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id", ""))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        client = scope.get("client")
        state["address"] = self._proxies.nearest_stranger(str(client[0]) if client else "unknown", headers)
        started = time.perf_counter()
        status = 500 if scope["type"] == "http" else ABNORMAL
        content_type = ""

        async def receiving() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect" and status == ABNORMAL:
                status = message["code"]
            return message

        async def sending(message: Message) -> None:
            nonlocal status, content_type
            if message["type"] == "websocket.close":
                status = message.get("code", 1000)
            if message["type"] == "websocket.accept":
                _log.info("connection_opened", path=shown(scope["path"]), address=state["address"])
            if message["type"] in ANSWERS:
                status = message.get("status", ABNORMAL)
                message.setdefault("headers", [])
                answer = MutableHeaders(scope=message)
                content_type = answer.get("content-type", "")
                answer["X-Request-Id"] = request_id
                for name, value in {**SECURITY_HEADERS, **state.get("headers", {})}.items():
                    answer.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receiving, sending)
            finally:
                seconds = time.perf_counter() - started
                self._finished(scope, status, seconds)
                if scope["type"] == "http" and is_dashboard(scope["path"]):
                    self._metrics.dashboard.observe(
                        method=scope["method"],
                        route=getattr(scope.get("route"), "path", ""),
                        status=status,
                        content_type=content_type,
                        user_agent=headers.get("user-agent", ""),
                        seconds=seconds,
                    )

    def _finished(self, scope: Scope, status: int, seconds: float) -> None:
        principal: Any = scope["state"].get("principal")
        username = principal.username if isinstance(principal, Principal) else ""
        if scope["type"] == "websocket":
            _log.info(
                "connection_closed",
                path=shown(scope["path"]),
                code=status,
                seconds=round(seconds, 4),
                username=username,
                address=scope["state"]["address"],
            )
            return
        route = getattr(scope.get("route"), "path", "")
        self._metrics.observe(scope["method"], route, status, seconds)
        log = _log.debug if route.startswith(("/health", "/metrics")) or is_sockjs(scope["path"]) else _log.info
        log(
            "request_answered",
            method=scope["method"],
            path=shown(scope["path"]),
            status=status,
            seconds=round(seconds, 4),
            username=username,
            address=scope["state"]["address"],
        )


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.match(given) else uuid.uuid4().hex
