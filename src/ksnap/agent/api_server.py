"""The agent's few calls to the API server, by its own service account: two reviews, its own Node, events on pods, and
the pods of its node where it prefetches images.

The token file is read before each call: the kubelet rotates it. TLS is verified with the cluster's CA.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from ksnap.agent.settings import AgentSettings
from ksnap.errors import AlreadyExists, ClusterConnectionFailed, NotPermitted, Unavailable

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
# One line of a watch is one object; etcd's own limit for it is 1.5 MiB.
_LINE_LIMIT = 4 << 20


class VersionGone(Unavailable):
    """A watch from a resource version that the API server no longer has (410): list anew."""


class ServiceAccount:
    """The mounted folder with token and CA."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def token(self) -> str:
        """The token as it is now; ClusterConnectionFailed if none is mounted."""
        try:
            return (self._folder / "token").read_text().strip()
        except OSError as exc:
            raise ClusterConnectionFailed(
                "The agent has no service-account token",
                details=str(exc),
                hint="The agent runs as a pod with its service account's token mounted",
            ) from exc

    def tls(self, ca_file: Path | None = None) -> ssl.SSLContext:
        """A context that trusts the cluster's CA, or the given one, and nothing else."""
        try:
            return ssl.create_default_context(cafile=str(ca_file or self._folder / "ca.crt"))
        except OSError as exc:
            raise ClusterConnectionFailed("A CA file cannot be read", details=str(exc)) from exc


class ApiServer:
    """Call inside `async with`; one connection pool for the process."""

    def __init__(self, settings: AgentSettings, account: ServiceAccount) -> None:
        host = settings.api_server_host
        self._base = f"https://{f'[{host}]' if ':' in host else host}:{settings.api_server_port}"
        self._account = account
        self._tls = account.tls()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ApiServer":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=6), timeout=_TIMEOUT, auto_decompress=True
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create an object (a review, an event) and return the answer."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change an object by a strategic merge: of a list only the entries that are named."""
        return await self._request("PATCH", path, body)

    async def get(self, path: str) -> Mapping[str, Any]:
        return await self._request("GET", path, None)

    async def read(self, path: str, params: Mapping[str, str]) -> bytes:
        """A GET's answer as it came: a list may be large, and is for a thread to decode."""
        session, headers = await self._ready()
        try:
            async with session.get(self._base + path, params=params, headers=headers) as response:
                content, status = await response.read(), response.status
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise _unreachable("GET", path, exc) from exc
        _must_be_good("GET", path, status)
        return content

    async def lines(self, path: str, params: Mapping[str, str], *, silence_s: float) -> AsyncGenerator[bytes]:
        """A watch's lines until the API server ends it. Silence for so long is Unavailable: a dead connection looks
        like a quiet one. To be closed (`aclosing`) by who ends early."""
        session, headers = await self._ready()
        deadlines = aiohttp.ClientTimeout(total=None, connect=5, sock_read=silence_s)
        try:
            async with session.get(self._base + path, params=params, headers=headers, timeout=deadlines) as response:
                _must_be_good("GET", path, response.status)
                while line := await response.content.readuntil(b"\n", max_size=_LINE_LIMIT):
                    yield line
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise _unreachable("GET", path, exc) from exc

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        session, headers = await self._ready()
        try:
            if method == "PATCH":
                headers["Content-Type"] = STRATEGIC_MERGE
            async with session.request(method, self._base + path, json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise _unreachable(method, path, exc) from exc
        _must_be_good(method, path, status)
        if not isinstance(answer, dict):
            raise Unavailable("The API server answered with an error", details=f"{method} {path}: status {status}")
        return answer

    async def _ready(self) -> tuple[aiohttp.ClientSession, dict[str, str]]:
        if self._session is None:
            raise RuntimeError("ApiServer is used outside of its `async with`")
        return self._session, {"Authorization": f"Bearer {await asyncio.to_thread(self._account.token)}"}


def _unreachable(method: str, path: str, error: Exception) -> Unavailable:
    return Unavailable("The agent cannot reach the API server", details=f"{method} {path}: {type(error).__name__}")


def _must_be_good(method: str, path: str, status: int) -> None:
    if status in {401, 403}:
        raise NotPermitted(
            "The API server refused the agent",
            details=f"{method} {path}: status {status}",
            hint="Install the chart's ClusterRole and binding for the agent",
        )
    if status == 409:
        raise AlreadyExists("The object exists, or is another one of its name", details=f"{method} {path}")
    if status == 410:
        raise VersionGone("The API server has forgotten the version that a watch began at", details=path)
    if status >= 400:
        raise Unavailable("The API server answered with an error", details=f"{method} {path}: status {status}")
