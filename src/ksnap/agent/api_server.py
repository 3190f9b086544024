"""The agent's few calls to the API server, by its own service account: two reviews, its own Node, events on pods.

The token file is read before each call: the kubelet rotates it. TLS is verified with the cluster's CA.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from ksnap.agent.settings import AgentSettings
from ksnap.errors import AlreadyExists, ClusterConnectionFailed, NotPermitted, Unavailable

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


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
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=4), timeout=_TIMEOUT, auto_decompress=True
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create an object (a review, an event) and return the answer."""
        return await self._request("POST", path, body)

    async def get(self, path: str) -> Mapping[str, Any]:
        return await self._request("GET", path, None)

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if self._session is None:
            raise RuntimeError("ApiServer is used outside of its `async with`")
        headers = {"Authorization": f"Bearer {self._account.token()}"}
        try:
            async with self._session.request(method, self._base + path, json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise Unavailable(
                "The agent cannot reach the API server", details=f"{method} {path}: {type(exc).__name__}"
            ) from exc
        if status in {401, 403}:
            raise NotPermitted(
                "The API server refused the agent",
                details=f"{method} {path}: status {status}",
                hint="Install the chart's ClusterRole and binding for the agent",
            )
        if status == 409:
            raise AlreadyExists("The object exists", details=f"{method} {path}")
        if status >= 400 or not isinstance(answer, dict):
            raise Unavailable("The API server answered with an error", details=f"{method} {path}: status {status}")
        return answer
