"""Each request on the dashboard's paths and each answer, as the reference logs them (contract, section 5).

Only there if the setting asks for it: otherwise nothing is read or formatted. Of bodies those of an allow list are
shown, for all others may hold a secret; a debug level shows them all. It looks at paths, not at what follows a `?`.
"""

import re
from typing import Literal

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.server.paths import is_dashboard
from ksnap.server.proxies import TrustedProxies

HIDDEN = "{ content hidden }"
UNREADABLE = "{}"
SHOWN_BYTES = 4096
URI_CHARACTERS = 2000
SHOWABLE = re.compile(
    r"(?:/clusters/[^/]+)?/api/v1/(?:"
    r"namespace"
    r"|appdeployment/validate/(?:name|imagereference|protocol)"
    r"|node/[^/]+/drain"
    r"|deployment/[^/]+/[^/]+/rollback"
    r"|replicationcontroller/[^/]+/[^/]+/update/pod"
    r")/?"
)
# Line ends and the like would be lines or colours of a terminal; JSON escapes them by itself, a console does not.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_log = structlog.get_logger(__name__)


class DashboardLog:
    """Logs before and after the rest of the layers."""

    def __init__(self, app: ASGIApp, *, level: Literal["INFO", "DEBUG"], proxies: TrustedProxies) -> None:
        self._app = app
        self._shows_all = level == "DEBUG"
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_dashboard(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = self._proxies.first_told(_peer(scope), headers)
        body, receive = await self._body(scope, headers, receive)
        _log.info(
            "dashboard_request",
            protocol=f"HTTP/{scope['http_version']}",
            method=scope["method"],
            uri=_uri(scope),
            client=client,
            body=body,
        )
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            _log.info("dashboard_response", client=client, status=status or 500)

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[str, Receive]:
        """What of the body is shown, and how the rest of the server gets all of it."""
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return "", receive
        if not (self._shows_all or SHOWABLE.fullmatch(scope["path"])):
            return HIDDEN, receive
        messages, content = await _begun(receive)
        return shown_body(content), _replayed(messages, receive)


async def _begun(receive: Receive) -> tuple[list[Message], bytes]:
    """The first pieces of a body, as many as are shown."""
    messages: list[Message] = []
    content = b""
    while len(content) < SHOWN_BYTES:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            break
        content += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return messages, content


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def receiving() -> Message:
        message = next(waiting, None)
        return message if message is not None else await receive()

    return receiving


def shown_body(content: bytes) -> str:
    """At most so many bytes, on one line."""
    if not content:
        return UNREADABLE
    more = "…" if len(content) > SHOWN_BYTES else ""
    return escaped(content[:SHOWN_BYTES].decode("utf-8", "replace")) + more


def escaped(text: str) -> str:
    """Without control characters."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _uri(scope: Scope) -> str:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return escaped(f"{path}?{query}" if query else path)[:URI_CHARACTERS]


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
