"""Events, and which of them are warnings about a pod (contract, section 15).

New-style events have neither firstTimestamp nor lastTimestamp: their `eventTime` and `series` are read, for the row and
for sorting alike.
"""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import moment, text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings

# An event without a type is a warning if its reason sounds like one.
_WORDS = frozenset(
    [
        "failed",
        "err",
        "exceeded",
        "invalid",
        "unhealthy",
        "mismatch",
        "insufficient",
        "conflict",
        "outof",
        "nil",
        "backoff",
    ]
)


class Involved(Part, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class Source(Part, frozen=True):
    component: str = ""
    host: str = ""


class Series(Part, frozen=True):
    count: int = 0
    last_observed_time: str | None = None


class Event(Record, frozen=True):
    involved_object: Involved = Involved()
    reason: str = ""
    message: str = ""
    type: str = ""
    source: Source = Source()
    reporting_component: str = ""
    count: int = 0
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Series | None = None

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        for field in ("reason", "type", "message", "reporting_component"):
            keep(self, field, strings.shared(getattr(self, field)))
        keep(self, "source", strings.same(self.source))
        first = self.first_timestamp or _seconds(self.event_time)
        last = self.last_timestamp or (_seconds(self.series.last_observed_time) if self.series else None) or first
        keep(self, "first_timestamp", first)
        keep(self, "last_timestamp", last)
        keep(self, "count", self.count or (self.series.count if self.series else 0) or 1)

    @property
    def is_warning(self) -> bool:
        if self.type:
            return self.type == "Warning"
        reason = self.reason.lower()
        return any(word in reason for word in _WORDS)


def _seconds(micro: str | None) -> str | None:
    """A MicroTime as a Time."""
    return f"{micro[:19]}Z" if micro else None


BY_INVOLVED: Index[Event] = Index(
    "involved",
    lambda event: ((event.involved_object.kind, event.involved_object.namespace, event.involved_object.name),),
)
"""By kind, namespace and name of the object that the event is about; `about` looks at the uid as well."""
WARNINGS_BY_UID: Index[Event] = Index(
    "warnings by uid", lambda event: (event.involved_object.uid,) if event.is_warning else ()
)
"""Warnings alone, by the uid of their object."""


def about(events: View[Event], kind: str, namespace: str, name: str, uid: str = "") -> Collection[Event]:
    """The events of one object. One of the same name that is gone had another uid."""
    found = events.by(BY_INVOLVED, (kind, namespace, name))
    return [each for each in found if not uid or each.involved_object.uid in {"", uid}]


def warnings(events: View[Event], uids: Iterable[str]) -> list[Row]:
    """The warnings about some objects, one for each reason."""
    found = (event for uid in uids for event in events.by(WARNINGS_BY_UID, uid))
    return shown_warnings(sorted(found, key=lambda each: (each.last_timestamp or "", each.metadata.name)))


def shown_warnings(events: Sequence[Event]) -> list[Row]:
    """The last of each reason; only message, reason and type are filled."""
    by_reason = {each.reason: each for each in events}
    return [{"message": each.message, "reason": each.reason, "type": each.type} for each in by_reason.values()]


def _row(event: Event, _around: Around) -> Row:
    involved = event.involved_object
    row: Row = {
        "message": event.message,
        "sourceComponent": event.source.component or event.reporting_component,
        "sourceHost": event.source.host,
        "object": involved.field_path,
        "objectKind": involved.kind,
        "objectName": involved.name,
    }
    if involved.namespace:
        row["objectNamespace"] = involved.namespace
    return row | {
        "count": event.count,
        "firstSeen": event.first_timestamp,
        "lastSeen": event.last_timestamp,
        "reason": event.reason,
        "type": event.type,
    }


EVENTS: Kind[Event] = Kind(
    Resource("events", "Event", Event),
    type_name="event",
    row=_row,
    items="events",
    properties=(
        text("reason", attrgetter("reason")),
        text("type", attrgetter("type")),
        moment("firstSeen", lambda event: event.first_timestamp or ""),
        moment("lastSeen", lambda event: event.last_timestamp or ""),
    ),
)
