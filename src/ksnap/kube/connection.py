"""One cluster's API server: one aiohttp session, JSON in and out, foreign errors turned into ours at this edge.

Every call has a deadline: the cluster's `timeout_s` for a plain one; a stream has none for its whole, but one for
the silence between two pieces.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import structlog

from ksnap.errors import ClusterConnectionFailed
from ksnap.kube.cluster_config import ClusterConfig
from ksnap.kube.credentials import Access, resolve
from ksnap.kube.failures import from_exception, from_status

# More than a hundred at once to one API server is a fault of ours; uploads and event streams are long-lived.
CONNECTIONS = 100
ERROR_BODY_LIMIT = 64 * 1024
MERGE_PATCH = "application/merge-patch+json"
# A WebSocket may be silent for long: whether the other side is still there is asked so often.
HEARTBEAT_S = 30.0
# How long its orderly end may take.
CLOSE_S = 2.0
MESSAGE_BYTES = 1 << 20

Json = dict[str, Any]
log = structlog.get_logger(__name__)


class ClusterConnection:
    """Requests to one cluster. Made by `open`, closed by its owner."""

    def __init__(self, config: ClusterConfig, access: Access, session: aiohttp.ClientSession) -> None:
        self.config = config
        self._access = access
        self._session = session

    @classmethod
    async def open(cls, config: ClusterConfig) -> Self:
        """Ready to ask; nothing was asked yet."""
        access = await asyncio.to_thread(resolve, config)
        if not config.verify_ssl:
            log.warning("cluster_tls_not_verified", cluster=config.name)
        connector = aiohttp.TCPConnector(ssl=access.tls, limit=CONNECTIONS)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        return cls(config, access, session)

    async def close(self) -> None:
        await self._session.close()
        # TLS connections end one turn of the loop after the session's close (aiohttp, "Graceful shutdown").
        await asyncio.sleep(0)

    @property
    def name(self) -> str:
        return self.config.name

    async def get(self, path: str, *, what: str, params: Mapping[str, str] | None = None) -> Json:
        return await self._json("GET", path, what=what, params=params)

    async def post(self, path: str, body: Json, *, what: str) -> Json:
        return await self._json("POST", path, what=what, body=body)

    async def patch(self, path: str, body: Json, *, what: str) -> Json:
        return await self._json("PATCH", path, what=what, body=body, content_type=MERGE_PATCH)

    async def delete(self, path: str, *, what: str, body: Json | None = None) -> Json:
        return await self._json("DELETE", path, what=what, body=body)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
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
                raise from_status(response.status, content[:ERROR_BODY_LIMIT], self.name, what)
            return await asyncio.to_thread(json.loads, content) if len(content) > 1 << 20 else json.loads(content)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadlines: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange, whatever its status; failures of the connection come out as ours, inside the block too."""
        sent = {"Accept": "application/json", **(headers or {})}
        if authorization := await self._authorization():
            sent["Authorization"] = authorization
        try:
            async with self._session.request(
                method,
                self._access.base_url + path,
                params=params,
                data=data,
                headers=sent,
                timeout=deadlines,
                allow_redirects=False,
                server_hostname=self._access.server_hostname,
            ) as response:
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_exception(error, self.name) from error

    @asynccontextmanager
    async def websocket(
        self, path: str, *, what: str, params: Sequence[tuple[str, str]], protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket in one of the protocols. Its beginning has a deadline; what follows is the caller's to bound."""
        try:
            async with asyncio.timeout(self.config.timeout_s):
                socket = await self._upgrade(path, params=params, protocols=protocols)
        except aiohttp.ClientResponseError as error:
            # Not `from error`: its text holds the whole address, and with it a command that may hold a secret.
            if error.status >= 400:
                # The library drops a refusal's body; the status alone has to tell.
                raise from_status(error.status, b"", self.name, what) from None
            raise self._no_websocket(what) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_exception(error, self.name) from error
        async with socket:
            if socket.protocol is None:
                raise self._no_websocket(what)
            try:
                yield socket
            except (aiohttp.ClientError, ConnectionError) as error:
                raise from_exception(error, self.name) from error

    async def _upgrade(
        self, path: str, *, params: Sequence[tuple[str, str]], protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse:
        authorization = await self._authorization()
        return await self._session.ws_connect(
            self._access.base_url + path,
            params=params,
            protocols=protocols,
            headers={"Authorization": authorization} if authorization else {},
            heartbeat=HEARTBEAT_S,
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

    async def _authorization(self) -> str:
        return await asyncio.to_thread(self._access.authorization.header)
