"""Somebody who follows a log, by server-sent events or a WebSocket, and a cluster behind a proxy that can fail."""

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from dev.cluster.info import ClusterInfo
from tests.cluster.dashboard.client import Dashboard, configure
from tests.cluster.test_agent import access_to
from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import FaultProxy, fault_proxy
from tests.parties.server import RunningServer

LIMIT_S = 40.0
LINE_BYTES = 1 << 24


@dataclass(slots=True)
class Events:
    """Reads server-sent events."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    _lines: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> tuple[str, Any]:
        """The next event's name and data; ("", None) at the end of the stream."""
        name, data = "message", ""
        while line := (await asyncio.wait_for(self.response.content.readline(), LIMIT_S)).decode().rstrip("\n"):
            key, _, value = line.partition(": ")
            match key:
                case "event":
                    name = value
                case "data":
                    data = value
                case "id":
                    self.last_id = value
        if data:
            return name, json.loads(data)
        return ("", None) if self.response.content.at_eof() else await self.next()

    async def lines(self, count: int) -> list[str]:
        """The next lines, of any container."""
        while len(self._lines) < count:
            name, found = await self.next()
            assert (name, found["type"]) == ("message", "lines"), (name, found)
            self._lines += found["logs"]
        taken, self._lines = self._lines[:count], self._lines[count:]
        return [line["content"] for line in taken]


@asynccontextmanager
async def events(dashboard: Dashboard, path: str, *, header: str = "", **query: str | int) -> AsyncIterator[Events]:
    headers = {**dashboard.headers, "Accept": "text/event-stream"} | ({"Last-Event-ID": header} if header else {})
    url = f"{dashboard.url}{dashboard.prefix}/log/follow/{path}"
    timeout = aiohttp.ClientTimeout(total=None)
    async with dashboard.session.get(
        url, params=query, headers=headers, timeout=timeout, read_bufsize=LINE_BYTES
    ) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Events(response)


@asynccontextmanager
async def socket(
    dashboard: Dashboard, path: str, query: Mapping[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"{dashboard.url}{dashboard.prefix}/log/follow/{path}"
    async with dashboard.session.ws_connect(url, params=query or {}, headers=dashboard.headers) as opened:
        yield opened


@asynccontextmanager
async def behind_a_proxy(
    server: RunningServer, cluster: ClusterInfo, dashboard: Dashboard, folder: Path
) -> AsyncIterator[tuple[Dashboard, FaultProxy]]:
    """The same cluster once more, its API server behind a proxy."""
    access = access_to(cluster)
    trust = await asyncio.to_thread(lambda: ssl.create_default_context(cadata=access.ca_cert))
    certificate = await asyncio.to_thread(issue_certificate, folder)
    async with fault_proxy(cluster.api_server, tls=certificate, upstream_tls=trust) as proxy:
        fields = {"api_server_url": f"https://{proxy.host}", "token": "unused", "ca_cert": certificate.ca_pem}
        # A name of its own: for some seconds the server remembers what a name stood for.
        name = f"proxied-{secrets.token_hex(4)}"
        await asyncio.to_thread(configure, server, name, **fields)
        try:
            yield dashboard.below(f"/clusters/{name}/api/v1"), proxy
        finally:
            root = Dashboard(dashboard.session, server.url, server.token, "")
            await root.call("DELETE", "/config/clusters/delete", {"name": name})
