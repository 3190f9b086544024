"""Follows the pods of this node at the API server: a list, then a watch that is resumed where it ended.

By Kubernetes' API concepts ("Efficient detection of changes"): bookmarks keep the version young, 410 asks for a new
list, and an ended watch is no failure. It never gives up; what failed is tried again after a growing while. What is
seen goes to `sightings`; nothing else of a pod is kept.
"""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import structlog

from ksnap.agent.api_server import ApiServer, VersionGone
from ksnap.agent.sightings import Sightings
from ksnap.errors import KsnapError, Unavailable
from ksnap.model.backoff import Backoff

log = structlog.get_logger()

_PATH = "/api/v1/pods"
# The API server ends a watch by itself after this; bookmarks come every minute.
_WATCH_S = 300
_SILENCE_S = 90.0
# A watch that ends at once, by a proxy's fault, is not begun again at once.
_LEAST_S = 1.0
_BACKOFF = Backoff(first_s=1.0, longest_s=30.0)


class PodWatch:
    """`run` is the task."""

    def __init__(self, api_server: ApiServer, node_name: str, sightings: Sightings) -> None:
        self._api_server = api_server
        # Pods that have ended are started no more.
        self._selector = f"spec.nodeName={node_name},status.phase!=Succeeded,status.phase!=Failed"
        self._sightings = sightings
        self._version = ""

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._follow()
                failures = 0
                pause = _LEAST_S - (time.monotonic() - began)
            except VersionGone:
                self._version = ""
                pause = _LEAST_S - (time.monotonic() - began)
            except KsnapError as error:
                failures += 1
                pause = _BACKOFF.wait_s(failures, chance=random.random())  # noqa: S311 # spreads nodes, hides nothing
                log.warning("pods_not_watched", reason=error.message, details=error.details, again_in_s=round(pause, 1))
            await asyncio.sleep(max(pause, 0.0))

    async def _follow(self) -> None:
        """A list if need be, and one watch."""
        if not self._version:
            self._version = await self._list()
        params = {
            "fieldSelector": self._selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_S),
        }
        async with aclosing(self._api_server.lines(_PATH, params, silence_s=_SILENCE_S)) as lines:
            async for line in lines:
                await self._take(_decoded(line))

    async def _list(self) -> str:
        """All pods of the node; the version to watch from. Version 0: the API server's memory, not etcd."""
        content = await self._api_server.read(_PATH, {"fieldSelector": self._selector, "resourceVersion": "0"})
        found = await asyncio.to_thread(_decoded, content)
        pods = found.get("items") or []
        self._sightings.keep_only({(each["metadata"]["namespace"], each["metadata"]["name"]) for each in pods})
        for each in pods:
            await self._saw(each)
        log.info("pods_listed", pods=len(pods))
        return str(found["metadata"]["resourceVersion"])

    async def _take(self, event: Mapping[str, Any]) -> None:
        kind, subject = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            if subject.get("code") == 410:
                raise VersionGone("The watch is too old", details=str(subject.get("message", ""))[:300])
            raise Unavailable("The API server ended the watch", details=str(subject.get("message", ""))[:300])
        metadata = subject["metadata"]
        if kind == "DELETED":
            self._sightings.lost(metadata["namespace"], metadata["name"])
        elif kind in {"ADDED", "MODIFIED"}:
            await self._saw(subject)
        self._version = metadata["resourceVersion"]

    async def _saw(self, pod: Mapping[str, Any]) -> None:
        """One pod that nobody had thought of must not hide all others."""
        try:
            await self._sightings.saw(pod)
        except Exception:
            log.exception("pod_not_understood", uid=pod["metadata"].get("uid"))


def _decoded(content: bytes) -> dict[str, Any]:
    """An object; Unavailable for what is cut off or something else's page."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Unavailable("The API server's answer is not JSON", details=f"{len(content)} bytes of {_PATH}") from None
    if not isinstance(found, dict):
        raise Unavailable("The API server's answer is no object", details=_PATH)
    return found
