"""Asks a cluster which kinds it has, and remembers it.

By aggregated discovery (Kubernetes' API concepts): two requests for all groups, in which a broken aggregated API is
only marked as stale. Read again when a name is not found, or after some minutes.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp

from ksnap.dashboard.api_kinds import Kind, Kinds, parse_kinds
from ksnap.errors import ClusterConnectionFailed, NotFound
from ksnap.kube.connection import ClusterConnection

# Newer API servers know `v2`, those before 1.30 `v2beta1`; the shape is the same.
ACCEPT = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
# A removed kind, or a version that is no longer served, is noticed after this at the latest.
FRESH_S = 300.0
# Names that do not exist cost a reading each; strangers must not make more of them than this.
APART_S = 1.0


@dataclass(slots=True)
class _Known:
    kinds: Kinds = field(default_factory=lambda: Kinds(()))
    read_at: float = float("-inf")
    """When the reading began."""
    reading: "asyncio.Task[None] | None" = None
    """The one that goes on now; all who need it wait for it together, for its failure too."""


class Discovery:
    """The kinds of all clusters. Read with ksnap's own account, for what it says is the same for all."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[ClusterConnection, _Known] = WeakKeyDictionary()

    async def named(self, own: ClusterConnection, word: str) -> Kind:
        """The kind that a path names; NotFound if the cluster has none, as of now."""
        asked_at = time.monotonic()
        found = (await self.kinds(own, not_before=asked_at - FRESH_S)).named(word)
        found = found or (await self.kinds(own, not_before=asked_at)).named(word)
        if found is None:
            raise _unknown(word, own.name)
        return found

    async def of(self, own: ClusterConnection, group: str, kind: str) -> Kind:
        """The kind that an object says it is."""
        asked_at = time.monotonic()
        found = (await self.kinds(own, not_before=asked_at - FRESH_S)).of(group, kind)
        found = found or (await self.kinds(own, not_before=asked_at)).of(group, kind)
        if found is None:
            raise _unknown(f"{group}/{kind}" if group else kind, own.name)
        return found

    async def kinds(self, own: ClusterConnection, *, not_before: float | None = None) -> Kinds:
        """All kinds, as they were at some moment not before this one of the monotonic clock."""
        limit = time.monotonic() - FRESH_S if not_before is None else not_before
        known = self._known.setdefault(own, _Known())
        while known.read_at < limit:
            if known.reading is None:
                known.reading = asyncio.create_task(_read_again(known, own), name=f"discovery of {own.name}")
                known.reading.add_done_callback(_noticed)
            await asyncio.shield(known.reading)
        return known.kinds

    async def close(self) -> None:
        running = [each.reading for each in self._known.values() if each.reading is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _read_again(known: _Known, own: ClusterConnection) -> None:
    try:
        await asyncio.sleep(known.read_at + APART_S - time.monotonic())
        began = time.monotonic()
        known.kinds = await _read(own)
        known.read_at = began
    finally:
        known.reading = None


def _noticed(task: "asyncio.Task[None]") -> None:
    """Nobody may wait any more for a reading that failed: its error is no loss then."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class ClusterKinds:
    """The kinds of one cluster, as a request asks for them."""

    _discovery: Discovery
    _own: ClusterConnection

    async def named(self, word: str) -> Kind:
        """`deployment`, `Deployment`, or `plural.group`. NotFound if the cluster has no such kind."""
        return await self._discovery.named(self._own, word)

    async def of(self, api_version: str, kind: str) -> Kind:
        """The kind of an object with this `apiVersion` and `kind`."""
        return await self._discovery.of(self._own, api_version.rpartition("/")[0], kind)

    async def all(self) -> Kinds:
        return await self._discovery.kinds(self._own)


async def _read(own: ClusterConnection) -> Kinds:
    core, groups = await asyncio.gather(_document(own, "/api"), _document(own, "/apis"))
    return Kinds(parse_kinds(core) + parse_kinds(groups))


async def _document(own: ClusterConnection, path: str) -> Mapping[str, Any]:
    deadlines = aiohttp.ClientTimeout(total=own.config.timeout_s)
    async with own.request("GET", path, headers={"Accept": ACCEPT}, deadlines=deadlines) as response:
        if response.status >= 400:
            raise own.refused(response.status, await response.read(), "discovery")
        document = await response.json(content_type=None)
    if not isinstance(document, dict) or document.get("kind") != "APIGroupDiscoveryList":
        raise ClusterConnectionFailed(
            "The API server does not know aggregated discovery",
            details=f"cluster {own.name}",
            hint="Kubernetes has it from 1.26 on",
        )
    return document


def _unknown(word: str, cluster: str) -> NotFound:
    return NotFound(
        "The cluster has no such kind",
        details=f"{word[:200]} in cluster {cluster}",
        hint="Kinds are named in lower case (deployment), custom resources as plural.group",
    )
