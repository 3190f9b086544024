"""Tells the starts of which this agent was not told: ksnap-runc's records are there whether or not an agent was.

A container that is started cold because no agent answers is the one case in which nobody hears why; the record says
it, and the next agent reads it. The events API is asked for one object per container, so that what another agent has
told already is not told twice.
"""

import asyncio
import json
import os
import time
from pathlib import Path

import structlog
from pydantic import ValidationError

from ksnap.agent.pod_events import PodEvents
from ksnap.agent.restore_messages import OutcomeReport

log = structlog.get_logger()

# Kubernetes keeps events for an hour (kube-apiserver's --event-ttl): an older start is no news.
_NEWS_S = 3600.0
# A start is over, and told if it ever will be, before its record is looked at by another than its teller.
_SETTLED_S = 5.0
_EVERY_S = 15.0
_RECORD_LIMIT = 256 * 1024


async def tell_untold(records_dir: Path, events: PodEvents) -> None:
    """Look for ever; at once for those of the time before this agent."""
    while True:
        for outcome in await asyncio.to_thread(_records, records_dir):
            if not events.has_told(outcome.container_id):
                log.info("untold_start_found", container=outcome.container_id, reason=outcome.reason)
                events.tell(outcome)
        await asyncio.sleep(_EVERY_S)


def _records(folder: Path) -> list[OutcomeReport]:
    """The records that are news. What is none is the runtime's business, not ours."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            if _SETTLED_S < time.time() - path.stat(follow_symlinks=False).st_mtime < _NEWS_S:
                found.append(OutcomeReport.model_validate({**_read(path), "op": "outcome"}))
        except (OSError, ValueError, TypeError, RecursionError) as exc:
            reason = "not a record" if isinstance(exc, ValidationError) else type(exc).__name__
            log.debug("start_record_not_read", path=str(path), reason=reason)
    return found


def _read(path: Path) -> dict[str, object]:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        found = json.loads(file.read(_RECORD_LIMIT))
    return dict(found)
