"""When a trigger fires, and for which occasion. Pure.

An occasion is what makes a second checkpoint of one key wanted: empty for the first one ever. It is made of what the
cluster or the clock says, never of when we looked, so that every server and every restart finds the same one.

Cron expressions are croniter's matter: it comes with DBOS anyhow, and knows the months, steps and week days.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import croniter  # type: ignore[import-untyped] # it has no types

from ksnap.model.checkpoint_key import DOMAIN
from ksnap.model.snap_labels import ALIAS

FREEZE_NOW = f"{DOMAIN}/freeze-now"
FREEZE_NOW_ALIAS = f"{ALIAS}/freeze-now"
CORDONED = "node.kubernetes.io/unschedulable"
# Longer ones would not fit the column; the annotation is a label-like word, no document.
VALUE_LIMIT = 120
# A server that was away at a time of the schedule makes up for it within so long.
MISSED = timedelta(minutes=5)


def annotation_occasion(annotations: Mapping[str, str]) -> str | None:
    """The occasion of a pod that asks to be frozen now; None if it does not."""
    value = annotations.get(FREEZE_NOW, annotations.get(FREEZE_NOW_ALIAS, ""))[:VALUE_LIMIT]
    return f"annotation/{value}" if value else None


def drain_occasion(node: str, cordoned_at: str) -> str:
    """The occasion of a node's cordon; `cordoned_at` is when its taint was added."""
    return f"drain/{node[:100]}/{cordoned_at}"


def schedule_occasion(at: datetime) -> str:
    return f"schedule/{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def is_schedule(expression: str) -> bool:
    return len(expression.split()) == 5 and bool(croniter.is_valid(expression))


def next_time(expression: str, after: datetime) -> datetime:
    """The first time of a schedule after one."""
    found: datetime = croniter(expression, after.astimezone(UTC)).get_next(datetime)
    return found


def first_time(expression: str, *, now: datetime, since: datetime) -> datetime:
    """The time of a schedule to begin with: one that was missed a moment ago, but after `since`, counts still."""
    return next_time(expression, max(now - MISSED, since))


def settled_at(pod: Mapping[str, Any], container: str, settle_s: float) -> datetime:
    """When a pod that is Ready has been so for long enough, and its container has run for that long."""
    status = pod.get("status") or {}
    times = [
        each.get("lastTransitionTime") or ""
        for each in status.get("conditions") or []
        if each.get("type") == "Ready"
    ]  # fmt: skip
    for each in status.get("containerStatuses") or []:
        if each.get("name") == container:
            times.append(((each.get("state") or {}).get("running") or {}).get("startedAt") or "")
    known = [datetime.fromisoformat(each) for each in times if each]
    return max(known, default=datetime.min.replace(tzinfo=UTC)) + timedelta(seconds=settle_s)
