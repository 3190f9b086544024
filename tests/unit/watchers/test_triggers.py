"""When a trigger fires: times as literals, and what holds of every schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.errors import InvalidInput
from ksnap.watchers.definition import Definition, Options, Scope, Trigger, WarmUp, options_of
from ksnap.watchers.triggers import (
    annotation_occasion,
    drain_occasion,
    first_time,
    is_schedule,
    next_time,
    schedule_occasion,
    settled_at,
)

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def test_an_annotation_fires_once_for_each_value() -> None:
    assert annotation_occasion({}) is None
    assert annotation_occasion({"ksnap.dev/freeze-now": ""}) is None
    assert annotation_occasion({"ksnap.dev/freeze-now": "1"}) == "annotation/1"
    assert annotation_occasion({"snap.weaversoft.io/freeze-now": "2"}) == "annotation/2"
    assert len(annotation_occasion({"ksnap.dev/freeze-now": "x" * 5000}) or "") < 200


@pytest.mark.parametrize("expression", ["0 3 * * *", "*/5 * * * *", "0 0 1 jan *", "30 4 * * mon-fri"])
def test_a_schedule(expression: str) -> None:
    assert is_schedule(expression)


@pytest.mark.parametrize("expression", ["", "often", "* * * *", "* * * * * *", "61 * * * *", "@daily"])
def test_no_schedule(expression: str) -> None:
    assert not is_schedule(expression)
    with pytest.raises(InvalidInput, match="not valid"):
        Definition("w", "prod", trigger=Trigger.SCHEDULE, options=Options({}, schedule=expression)).check()


def test_a_time_that_was_missed_a_moment_ago_counts_still() -> None:
    long_ago = NOON - timedelta(days=1)
    assert first_time("0 * * * *", now=NOON + timedelta(minutes=3), since=long_ago) == NOON
    assert first_time("0 * * * *", now=NOON + timedelta(minutes=6), since=long_ago) == NOON + timedelta(hours=1)


def test_but_none_from_before_the_watcher_was_started() -> None:
    since = NOON + timedelta(minutes=1)
    assert first_time("0 * * * *", now=NOON + timedelta(minutes=3), since=since) == NOON + timedelta(hours=1)


@given(st.integers(0, 20 * 365 * 86400))
def test_every_server_finds_the_same_occasion(seconds: int) -> None:
    now = NOON + timedelta(seconds=seconds)
    following = next_time("*/7 3-5 * * *", now)
    assert following > now
    assert next_time("*/7 3-5 * * *", following - timedelta(seconds=1)) == following
    assert datetime.strptime(schedule_occasion(following), "schedule/%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC) == following


def test_a_cordon_is_one_occasion() -> None:
    assert drain_occasion("node1", "2026-01-01T00:00:00Z") != drain_occasion("node1", "2026-01-01T00:01:00Z")


def ready_pod(*, ready: str, started: str) -> dict[str, Any]:
    state = {"running": {"startedAt": started}}
    return {
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ready}],
            "containerStatuses": [{"name": "web", "state": state}],
        }
    }


def test_settling_begins_with_the_later_of_readiness_and_start() -> None:
    ready, started = "2026-11-28T11:59:00Z", "2026-11-28T12:00:00Z"
    assert settled_at(ready_pod(ready=ready, started=started), "web", 30) == NOON + timedelta(seconds=30)
    assert settled_at(ready_pod(ready=started, started=ready), "web", 0) == NOON
    assert settled_at({}, "web", 30) < NOON, "what says nothing waits for nothing"


def test_a_namespace_scope_names_one() -> None:
    with pytest.raises(InvalidInput, match="not valid"):
        Definition("w", "prod", scope=Scope.NAMESPACE).check()
    Definition("w", "prod", scope=Scope.NAMESPACE, namespace="shop").check()


def test_options_come_back_as_they_were() -> None:
    options = Options({"a": "b"}, ("web",), 2.5, "0 3 * * *", WarmUp("/warm", 8080, 3, 4.0))
    assert options_of(options.stored()) == options
