"""An API server's pods of one node, to list and to watch, and Secrets to get; over TLS, with a token of its own.

    async with pods_api(certificate) as api:
        api.put(pod)                    # added or modified, told to who watches
        await api.watched(2)            # until a second watch has begun
        api.end_watches()               # as the API server does every few minutes

Written after Kubernetes' API concepts ("Efficient detection of changes"): one version counts for all, an old one is
answered by 410, as a status or within the watch. What it is asked is kept.
"""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from tests.parties.certificates import ServerCertificate

TOKEN = "of-the-agent"
Json = dict[str, Any]


@dataclass(slots=True)
class PodsApi:
    """Made by `pods_api`."""

    port: int = 0
    secrets: dict[str, Json] = field(default_factory=dict)
    """`namespace/name` -> object."""
    lists: list[dict[str, str]] = field(default_factory=list)
    """Queries of lists."""
    watches: list[dict[str, str]] = field(default_factory=list)
    """Queries of watches."""
    refuse: list[int] = field(default_factory=list)
    """Statuses for the next calls; they are taken from the front."""
    oldest: int = 0
    """A watch from before it is too old."""
    _version: int = 1
    _pods: dict[str, Json] = field(default_factory=dict)
    _log: list[tuple[int, Json]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _last_words: list[str] = field(default_factory=list)
    _epoch: int = 0

    async def put(self, pod: Json, *, seen: bool = True) -> None:
        """A pod that is new or has changed; `seen` by watches, or by the next list alone."""
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        kind = "MODIFIED" if key in self._pods else "ADDED"
        self._version += 1
        pod = copy.deepcopy(pod)
        pod["metadata"]["resourceVersion"] = str(self._version)
        self._pods[key] = pod
        if seen:
            await self._tell({"type": kind, "object": pod})

    async def delete(self, namespace: str, name: str, *, seen: bool = True) -> None:
        self._version += 1
        pod = self._pods.pop(f"{namespace}/{name}")
        pod["metadata"]["resourceVersion"] = str(self._version)
        if seen:
            await self._tell({"type": "DELETED", "object": pod})

    async def bookmark(self) -> None:
        """Time goes on elsewhere in the cluster."""
        self._version += 100
        await self._tell({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self._version)}}})

    async def say(self, line: str) -> None:
        """Any line, in one watch, which ends with it."""
        self._last_words.append(line)
        await self.end_watches()

    async def forget(self) -> None:
        """Compaction: what was before is no more to be watched from."""
        self._version += 100
        self.oldest = self._version

    async def end_watches(self) -> None:
        self._epoch += 1
        async with self._changed:
            self._changed.notify_all()

    async def watched(self, times: int) -> None:
        """Until so many watches have begun."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.watches) >= times)

    async def _tell(self, event: Json) -> None:
        self._log.append((self._version, event))
        async with self._changed:
            self._changed.notify_all()

    async def pods(self, request: web.Request) -> web.StreamResponse:
        _must_know(request)
        if self.refuse:
            return web.json_response({"kind": "Status"}, status=self.refuse.pop(0))
        query = dict(request.query)
        if "watch" in query:
            return await self._watch(request, query)
        self.lists.append(query)
        # Items of a list name no version of the list; each has its own.
        body = {"kind": "PodList", "metadata": {"resourceVersion": str(self._version)}, "items": [*self._pods.values()]}
        return web.json_response(body)

    async def secret(self, request: web.Request) -> web.Response:
        _must_know(request)
        found = self.secrets.get(f"{request.match_info['namespace']}/{request.match_info['name']}")
        return web.json_response(found or {"kind": "Status"}, status=200 if found else 404)

    async def _watch(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        since, epoch = int(query["resourceVersion"]), self._epoch
        async with self._changed:
            self.watches.append(query)
            self._changed.notify_all()
        if since < self.oldest:
            return web.json_response({"kind": "Status", "code": 410}, status=410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            await self._send(response, since, epoch)
        return response

    async def _send(self, response: web.StreamResponse, sent: int, epoch: int) -> None:
        """All that comes after a version, until this watch is ended."""
        while True:
            for version, event in [each for each in self._log if each[0] > sent]:
                await response.write(json.dumps(event).encode() + b"\n")
                sent = version
            if epoch != self._epoch:
                break
            async with self._changed:
                await self._changed.wait_for(partial(self._is_news, sent, epoch))
        while self._last_words:
            await response.write(self._last_words.pop(0).encode() + b"\n")

    def _is_news(self, sent: int, epoch: int) -> bool:
        return epoch != self._epoch or bool(self._log and self._log[-1][0] > sent)


def _must_know(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise web.HTTPUnauthorized


@asynccontextmanager
async def pods_api(certificate: ServerCertificate) -> AsyncIterator[PodsApi]:
    """Serve until the block ends."""
    api = PodsApi()
    app = web.Application()
    app.router.add_get("/api/v1/pods", api.pods)
    app.router.add_get("/api/v1/namespaces/{namespace}/secrets/{name}", api.secret)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate.server_context()).start()
        api.port = runner.addresses[0][1]
        yield api
    finally:
        await api.end_watches()
        await runner.cleanup()
