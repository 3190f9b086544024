"""Kubernetes events on pods that were restored, that crashed soon after, or that started cold in place of a restore.

Told in the background, in order, and given up after a few tries: a start never waits for the API server, and an event
that is lost changes nothing on the node. Needs `create` on `events`.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import structlog

from ksnap.agent.api_server import ApiServer
from ksnap.agent.restore_messages import EndReport, OutcomeReport
from ksnap.errors import AlreadyExists, KsnapError, NotPermitted

log = structlog.get_logger()

# An API server that is away: so many events wait for it, then the oldest are dropped.
_QUEUE_LIMIT = 256
_TRIES = 3
_PAUSE_S = 2.0
# Containers whose start is known to be told; the oldest are forgotten first.
_TOLD_LIMIT = 4096
# events.k8s.io bounds the note at 1 kB.
_MESSAGE_LIMIT = 1000


class PodEvents:
    """`tell` from anywhere in the event loop; `run` is the task that sends."""

    def __init__(self, api_server: ApiServer, node_name: str) -> None:
        self._api_server = api_server
        self._node_name = node_name
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_QUEUE_LIMIT)
        self._told: dict[str, None] = {}

    def has_told(self, container_id: str) -> bool:
        """Whether `tell` was called for this container, by this process."""
        return container_id in self._told

    def tell(self, outcome: OutcomeReport) -> None:
        self._told[outcome.container_id] = None
        while len(self._told) > _TOLD_LIMIT:
            del self._told[next(iter(self._told))]
        self._put(restore_event(outcome, node_name=self._node_name, now=datetime.now(UTC)))

    def tell_crash(self, end: EndReport, *, failures: int, limit: int) -> None:
        self._put(crash_event(end, failures=failures, limit=limit, node_name=self._node_name, now=datetime.now(UTC)))

    def _put(self, event: Mapping[str, Any]) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            log.warning("event_dropped")
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._send(await self._queue.get())

    async def _send(self, event: Mapping[str, Any]) -> None:
        path = f"/api/v1/namespaces/{quote(event['metadata']['namespace'], safe='')}/events"
        for attempt in range(1, _TRIES + 1):
            try:
                await self._api_server.post(path, event)
            except AlreadyExists:
                # A former agent told it, or a try of ours whose answer was lost.
                return
            except KsnapError as error:
                if attempt == _TRIES or isinstance(error, NotPermitted):
                    log.warning("event_not_told", reason=error.message, details=error.details)
                    return
                await asyncio.sleep(_PAUSE_S * attempt)
            else:
                return


def restore_event(outcome: OutcomeReport, *, node_name: str, now: datetime) -> dict[str, Any]:
    """What became of a container's start."""
    if outcome.restored:
        text = f"Restored {outcome.container} in {round(outcome.total_ms)} ms from {outcome.image}"
        return _event(outcome, "Normal", "Restored", text, node_name=node_name, now=now)
    text = f"{outcome.reason or 'Unknown'}: {outcome.message}".rstrip(": ")
    return _event(outcome, "Warning", "StartedCold", text, node_name=node_name, now=now)


def crash_event(end: EndReport, *, failures: int, limit: int, node_name: str, now: datetime) -> dict[str, Any]:
    """A restored container ended by itself too soon, which counted as a failed restore."""
    next_start = "the next start is cold" if failures >= limit else f"from {limit} on it starts cold"
    text = (
        f"{end.container} ended by itself {end.lived_ms / 1000:.1f} s after it was restored from {end.image}; "
        f"failed restores of it on this node: {failures}, {next_start}"
    )
    return _event(end, "Warning", "CrashedAfterRestore", text, node_name=node_name, now=now)


def _event(
    about: OutcomeReport | EndReport, kind: str, reason: str, text: str, *, node_name: str, now: datetime
) -> dict[str, Any]:
    """The event object (core/v1)."""
    time = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As the API server's own clients name them: the object, and something unique. A container starts and ends once.
        "metadata": {
            "name": f"{about.pod[:230]}.{_suffix(reason, about.container_id)}",
            "namespace": about.namespace,
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": about.namespace,
            "name": about.pod,
            "uid": about.pod_uid,
            "fieldPath": f"spec.containers{{{about.container}}}",
        },
        "type": kind,
        "reason": reason,
        "message": text[:_MESSAGE_LIMIT],
        "source": {"component": "ksnap-agent", "host": node_name},
        "reportingComponent": "ksnap.dev/agent",
        "reportingInstance": node_name,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def _suffix(reason: str, container_id: str) -> str:
    """The same for one thing that became of one container, whoever tells it."""
    return hashlib.sha256(f"{reason} {container_id}".encode()).hexdigest()[:16]
