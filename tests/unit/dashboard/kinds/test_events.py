"""Events: which are warnings, when they were seen, and of which object they are."""

import json
from typing import Any

import pytest

from ksnap.dashboard.kinds.events import EVENTS, Event, about, warnings
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.strings import Strings

DECODER = Decoder(EVENTS.resource, Strings())


def event(name: str = "e", *, uid: str = "u", kind: str = "Pod", **fields: Any) -> Event:
    involved = {"kind": kind, "namespace": "n", "name": "x", "uid": uid}
    return DECODER.record(
        json.dumps({"metadata": {"name": name, "namespace": "n"}, "involvedObject": involved, **fields}).encode()
    )


def view(*events: Event) -> View[Event]:
    found: View[Event] = View(None, None)
    for each in events:
        found.objects.put(each)
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "Warning", "reason": "Whatever"}, True),
        ({"type": "Normal", "reason": "FailedBinding"}, False),
        ({"reason": "BackOff"}, True),
        ({"reason": "OutOfmemory"}, True),
        ({"reason": "Pulled"}, False),
        ({}, False),
    ],
)
def test_warnings(fields: dict[str, str], expected: bool) -> None:  # noqa: FBT001
    assert event(**fields).is_warning is expected


OLD, NEW, LAST = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.123456Z", "2026-01-01T00:05:00.000001Z"


@pytest.mark.parametrize(
    ("fields", "first", "last", "count"),
    [
        ({"firstTimestamp": OLD, "lastTimestamp": OLD, "count": 3}, OLD, OLD, 3),
        ({"firstTimestamp": OLD, "lastTimestamp": None}, OLD, OLD, 1),
        ({"firstTimestamp": None, "lastTimestamp": None, "eventTime": NEW}, NEW[:19] + "Z", NEW[:19] + "Z", 1),
        ({"eventTime": NEW, "series": {"count": 7, "lastObservedTime": LAST}}, NEW[:19] + "Z", LAST[:19] + "Z", 7),
        ({}, None, None, 1),
    ],
)
def test_when_it_was_seen(fields: dict[str, Any], first: str | None, last: str | None, count: int) -> None:
    row = EVENTS.full_row(event(**fields), Around("c", {}))
    assert (row["firstSeen"], row["lastSeen"], row["count"]) == (first, last, count)


def test_of_one_object() -> None:
    """Not of another kind with its name, and not of one that is gone; an event without a uid may be about it."""
    mine, service = event("mine"), event("service", kind="Service")
    former, vague = event("former", uid="gone"), event("vague", uid="")
    found = about(view(mine, service, former, vague), "Pod", "n", "x", "u")
    assert {each.metadata.name for each in found} == {"mine", "vague"}


def test_one_warning_for_each_reason() -> None:
    events = [
        event("a", type="Warning", reason="BackOff", message="first", lastTimestamp=OLD),
        event("b", type="Warning", reason="BackOff", message="second", lastTimestamp="2026-01-01T00:00:02Z"),
        event("c", type="Warning", reason="Failed", message="no image", lastTimestamp=OLD),
        event("d", type="Normal", reason="Pulling"),
        event("e", uid="another", type="Warning", reason="Other"),
    ]
    assert warnings(view(*reversed(events)), ["u"]) == [
        {"message": "second", "reason": "BackOff", "type": "Warning"},
        {"message": "no image", "reason": "Failed", "type": "Warning"},
    ]
