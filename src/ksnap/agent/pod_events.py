"""Kubernetes events on pods that were restored, or started cold where a restore was wished for.

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
from ksnap.agent.restore_messages import OutcomeReport
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
        if self._queue.full():
            self._queue.get_nowait()
            log.warning("event_dropped")
        self._queue.put_nowait(restore_event(outcome, node_name=self._node_name, now=datetime.now(UTC)))

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
    """The event object (core/v1)."""
    time = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    reason = "Restored" if outcome.restored else "StartedCold"
    if outcome.restored:
        text = f"Restored {outcome.container} in {round(outcome.total_ms)} ms from {outcome.image}"
    else:
        text = f"{outcome.reason or 'Unknown'}: {outcome.message}".rstrip(": ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As the API server's own clients name them: the object, and something unique. A container starts once.
        "metadata": {
            "name": f"{outcome.pod[:230]}.{_suffix(reason, outcome.container_id)}",
            "namespace": outcome.namespace,
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": outcome.namespace,
            "name": outcome.pod,
            "uid": outcome.pod_uid,
            "fieldPath": f"spec.containers{{{outcome.container}}}",
        },
        "type": "Normal" if outcome.restored else "Warning",
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
