"""Tells on a pod what became of a restore: an event, which is forgotten after an hour, and a condition, which stays.

Of containers that were restored, that started cold in place of it, or that crashed soon after (an event alone). Told
in the background, in order, and given up after a few tries: a start never waits for the API server, and what is lost
changes nothing on the node. Needs `create` on `events` and `patch` on `pods/status`.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
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
_UNKNOWN = "Unknown"


CONDITION_DOMAIN = "restored.ksnap.dev"
"""A condition's type is `<domain>/<container>`: each container starts by itself."""


@dataclass(frozen=True, slots=True)
class _Telling:
    path: str
    body: Mapping[str, Any]
    patches: bool = False


class PodEvents:
    """`tell` from anywhere in the event loop; `run` is the task that sends."""

    def __init__(self, api_server: ApiServer, node_name: str) -> None:
        self._api_server = api_server
        self._node_name = node_name
        self._queue: asyncio.Queue[_Telling] = asyncio.Queue(_QUEUE_LIMIT)
        self._told: dict[str, None] = {}

    def has_told(self, container_id: str) -> bool:
        """Whether `tell` was called for this container, by this process."""
        return container_id in self._told

    def tell(self, outcome: OutcomeReport) -> None:
        self._told[outcome.container_id] = None
        while len(self._told) > _TOLD_LIMIT:
            del self._told[next(iter(self._told))]
        now = datetime.now(UTC)
        self._put_event(restore_event(outcome, node_name=self._node_name, now=now))
        pod = f"{_namespaced(outcome.namespace)}/pods/{quote(outcome.pod, safe='')}"
        self._put(_Telling(f"{pod}/status", restore_condition(outcome, now=now), patches=True))

    def tell_crash(self, end: EndReport, *, failures: int, limit: int) -> None:
        now = datetime.now(UTC)
        self._put_event(crash_event(end, failures=failures, limit=limit, node_name=self._node_name, now=now))

    def _put_event(self, event: Mapping[str, Any]) -> None:
        self._put(_Telling(f"{_namespaced(event['metadata']['namespace'])}/events", event))

    def _put(self, telling: _Telling) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            log.warning("event_dropped")
        self._queue.put_nowait(telling)

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._send(await self._queue.get())

    async def _send(self, telling: _Telling) -> None:
        send = self._api_server.patch if telling.patches else self._api_server.post
        for attempt in range(1, _TRIES + 1):
            try:
                await send(telling.path, telling.body)
            except AlreadyExists:
                # A former agent told it, or a try of ours whose answer was lost; or the pod is another one by now.
                return
            except KsnapError as error:
                if attempt == _TRIES or isinstance(error, NotPermitted):
                    log.warning("event_not_told", path=telling.path, reason=error.message, details=error.details)
                    return
                await asyncio.sleep(_PAUSE_S * attempt)
            else:
                return


def restore_event(outcome: OutcomeReport, *, node_name: str, now: datetime) -> dict[str, Any]:
    """What became of a container's start."""
    if outcome.restored:
        return _event(outcome, "Normal", "Restored", _restored_text(outcome), node_name=node_name, now=now)
    text = f"{outcome.reason or _UNKNOWN}: {outcome.message}".rstrip(": ")
    return _event(outcome, "Warning", "StartedCold", text, node_name=node_name, now=now)


def restore_condition(outcome: OutcomeReport, *, now: datetime) -> dict[str, Any]:
    """The patch of the pod's status (core/v1, PodCondition). With its uid, so that no later pod of its name gets it."""
    condition = {
        "type": f"{CONDITION_DOMAIN}/{outcome.container}",
        "status": "True" if outcome.restored else "False",
        "reason": "Restored" if outcome.restored else outcome.reason or _UNKNOWN,
        "message": (_restored_text(outcome) if outcome.restored else outcome.message)[:_MESSAGE_LIMIT],
        "lastTransitionTime": _time(now),
    }
    metadata = {"metadata": {"uid": outcome.pod_uid}} if outcome.pod_uid else {}
    return {**metadata, "status": {"conditions": [condition]}}


def _restored_text(outcome: OutcomeReport) -> str:
    return f"Restored {outcome.container} in {round(outcome.total_ms)} ms from {outcome.image}"


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
    time = _time(now)
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


def _namespaced(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}"


def _time(now: datetime) -> str:
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")


def _suffix(reason: str, container_id: str) -> str:
    """The same for one thing that became of one container, whoever tells it."""
    return hashlib.sha256(f"{reason} {container_id}".encode()).hexdigest()[:16]
