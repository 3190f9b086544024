"""One cluster's API server: JSON in and out, foreign errors turned into ours at this edge.

Every call has a deadline: the cluster's `timeout_s` for a plain one; a stream has none for its whole, but one for
the silence between two pieces. `acting` gives the same connection for a user of the cluster instead of ksnap itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import structlog

from ksnap.errors import ClusterConnectionFailed, KsnapError
from ksnap.kube.caller import Caller, Headers
from ksnap.kube.cluster_config import ClusterConfig
from ksnap.kube.credentials import Access, resolve
from ksnap.kube.failures import from_exception, from_status, refusal
from ksnap.kube.sessions import Sessions

ERROR_BODY_LIMIT = 64 * 1024
MERGE_PATCH = "application/merge-patch+json"
# A WebSocket may be silent for long: whether the other side is still there is asked so often.
HEARTBEAT_S = 30.0
# How long its orderly end may take.
CLOSE_S = 2.0
MESSAGE_BYTES = 1 << 20

Json = dict[str, Any]
Params = Mapping[str, str] | Sequence[tuple[str, str]]
log = structlog.get_logger(__name__)


class ClusterConnection:
    """Requests to one cluster. Made by `open`, closed by its owner; what `acting` makes is closed with it."""

    def __init__(self, config: ClusterConfig, access: Access, sessions: Sessions, caller: Caller | None = None) -> None:
        self.config = config
        self._access = access
        self._sessions = sessions
        self._caller = caller

    @classmethod
    async def open(cls, config: ClusterConfig) -> Self:
        """Ready to ask; nothing was asked yet."""
        access = await asyncio.to_thread(resolve, config)
        if not config.verify_ssl:
            log.warning("cluster_tls_not_verified", cluster=config.name)
        return cls(config, access, Sessions(access))

    def acting(self, caller: Caller) -> "ClusterConnection":
        """The same cluster as this user. What the API server refuses is then a KubeRefusal, with its own status."""
        return ClusterConnection(self.config, self._access, self._sessions, caller)

    async def close(self) -> None:
        await self._sessions.close()

    @property
    def name(self) -> str:
        return self.config.name

    async def get(self, path: str, *, what: str, params: Params | None = None) -> Json:
        return await self._json("GET", path, what=what, params=params)

    async def post(self, path: str, body: Json, *, what: str, params: Params | None = None) -> Json:
        return await self._json("POST", path, what=what, body=body, params=params)

    async def put(self, path: str, body: Json, *, what: str, params: Params | None = None) -> Json:
        return await self._json("PUT", path, what=what, body=body, params=params)

    async def patch(
        self,
        path: str,
        body: Json | list[Json],
        *,
        what: str,
        params: Params | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Json:
        return await self._json("PATCH", path, what=what, body=body, params=params, content_type=content_type)

    async def delete(self, path: str, *, what: str, body: Json | None = None, params: Params | None = None) -> Json:
        return await self._json("DELETE", path, what=what, body=body, params=params)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Params | None = None,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        deadlines = aiohttp.ClientTimeout(total=self.config.timeout_s)
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self.request(
            method, path, params=params, data=data, headers=headers, deadlines=deadlines
        ) as response:
            content = await response.read()
            if response.status >= 400:
                raise self.refused(response.status, content[:ERROR_BODY_LIMIT], what)
            return await asyncio.to_thread(json.loads, content) if len(content) > 1 << 20 else json.loads(content)

    def refused(self, status: int, body: bytes, what: str) -> KsnapError:
        """The error of a refused request, for those who use `request` themselves."""
        if self._caller is not None:
            return refusal(status, body, self.name, what, passed_on=self._caller.has_token)
        return from_status(status, body, self.name, what)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadlines: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange, whatever its status; failures of the connection come out as ours, inside the block too."""
        sent = {"Accept": "application/json", **(headers or {})}
        try:
            async with self._sessions.of(self._caller).request(
                method,
                self._access.base_url + path,
                params=params,
                data=data,
                headers=[*sent.items(), *await self._identity()],
                timeout=deadlines,
                allow_redirects=False,
                server_hostname=self._access.server_hostname,
            ) as response:
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_exception(error, self.name) from error

    @asynccontextmanager
    async def websocket(
        self,
        path: str,
        *,
        what: str,
        params: Sequence[tuple[str, str]],
        protocols: Sequence[str],
        heartbeat_s: float | None = HEARTBEAT_S,
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket in one of the protocols. Its beginning has a deadline; what follows is the caller's to bound.

        One that is not read for a while must have no heartbeat: the answer to it would not be read, either.
        """
        try:
            async with asyncio.timeout(self.config.timeout_s):
                socket = await self._upgrade(path, params=params, protocols=protocols, heartbeat_s=heartbeat_s)
        except aiohttp.ClientResponseError as error:
            # Not `from error`: its text holds the whole address, and with it a command that may hold a secret.
            if error.status >= 400:
                # The library drops a refusal's body; the status alone has to tell.
                raise self.refused(error.status, b"", what) from None
            raise self._no_websocket(what) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_exception(error, self.name) from error
        _lose_nothing_at_the_end(socket)
        async with socket:
            if socket.protocol is None:
                raise self._no_websocket(what)
            try:
                yield socket
            except (aiohttp.ClientError, ConnectionError) as error:
                raise from_exception(error, self.name) from error

    async def _upgrade(
        self, path: str, *, params: Sequence[tuple[str, str]], protocols: Sequence[str], heartbeat_s: float | None
    ) -> aiohttp.ClientWebSocketResponse:
        return await self._sessions.of(self._caller).ws_connect(
            self._access.base_url + path,
            params=params,
            protocols=protocols,
            headers=await self._identity(),
            heartbeat=heartbeat_s,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            max_msg_size=MESSAGE_BYTES,
            server_hostname=self._access.server_hostname,
        )

    def _no_websocket(self, what: str) -> ClusterConnectionFailed:
        return ClusterConnectionFailed(
            "The API server does not speak Kubernetes' exec over WebSocket",
            details=f"{what} in cluster {self.name}",
            hint="A proxy in front of it must pass WebSockets on, with their protocol",
        )

    async def _identity(self) -> Headers:
        """Who asks: ksnap, somebody by ksnap's right to impersonate, or the owner of a token."""
        caller = self._caller
        impersonation = caller.impersonation() if caller is not None else []
        if caller is not None and caller.has_token:
            return [("Authorization", f"Bearer {caller.token.get_secret_value()}"), *impersonation]
        authorization = await asyncio.to_thread(self._access.authorization.header)
        return [("Authorization", authorization), *impersonation] if authorization else impersonation


def _lose_nothing_at_the_end(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Let TLS hold back nothing while reading is paused for a slow reader.

    uvloop drops what its TLS layer holds, up to 256 KiB, when the other side closes meanwhile: the end of a command's
    output, and its exit code. To be deleted with https://github.com/MagicStack/uvloop/pull/661.
    """
    connection = socket._response.connection  # the WebSocket itself does not show its transport
    limit = getattr(connection.transport if connection else None, "set_read_buffer_limits", None)
    if limit is not None:
        limit(high=1, low=0)
