"""The outermost layer: request id, client address, access log, metrics, the headers that every answer carries.

The log line of a request names its method, route, status, time, user and address: no query, no header, no body, so
no secret can be in it. A WebSocket has two lines: when it is accepted, and with its close code when it has ended; a
refused one has a status, as any request.
"""

import re
import time
import uuid
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.identity.principal import Principal
from ksnap.server.metrics import RequestMetrics
from ksnap.server.paths import is_sockjs, shown
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
        self._trusted = tuple(trusted_proxies)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id", ""))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["address"] = self._address(scope, headers)
        started = time.perf_counter()
        status = 500 if scope["type"] == "http" else ABNORMAL

        async def receiving() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect" and status == ABNORMAL:
                status = message["code"]
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.close":
                status = message.get("code", 1000)
            if message["type"] == "websocket.accept":
                _log.info("connection_opened", path=shown(scope["path"]), address=state["address"])
            if message["type"] in ANSWERS:
                status = message.get("status", ABNORMAL)
                message.setdefault("headers", [])
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = request_id
                for name, value in {**SECURITY_HEADERS, **state.get("headers", {})}.items():
                    answer.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receiving, sending)
            finally:
                self._finished(scope, status, time.perf_counter() - started)

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

    def _address(self, scope: Scope, headers: Headers) -> str:
        """The peer, or what a trusted proxy says: from the right, the first address that is no trusted proxy."""
        client = scope.get("client")
        address = str(client[0]) if client else "unknown"
        if not self._is_trusted(address):
            return address
        # A header on several lines is one list (RFC 9110, 5.3): what a client wrote itself stands on the first.
        for hop in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
            candidate = hop.strip()
            if not _is_address(candidate):
                return address
            address = candidate
            if not self._is_trusted(address):
                return address
        return address

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(
            ip_address(address) in network
            for network in self._trusted
            if network.version == ip_address(address).version
        )


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.match(given) else uuid.uuid4().hex


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
