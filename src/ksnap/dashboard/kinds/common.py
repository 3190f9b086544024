"""What details of all kinds share. Pure: objects come in as the API server's JSON, rows go out.

A detail is its list's row with more behind it: `row_of` makes the row of one object that was read as the caller, by
the same record and the same builder as the list's, so that the two never differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Metadata, Part, Record
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings

Json = dict[str, Any]
R = TypeVar("R", bound=Record)


def as_record(resource: Resource[R], found: Json) -> R:
    """One object as its list would hold it."""
    try:
        record = msgspec.convert(found, resource.record)
    except msgspec.ValidationError:  # as the watch caches do: what nobody had thought of has its metadata at least
        record = resource.record(metadata=msgspec.convert(section(found, "metadata"), Metadata))
    record.settle(Strings())
    return record


def row_of(kind: Kind[R], found: Json, around: Around) -> Row:
    """The list's row of one object, with objectMeta and typeMeta in front."""
    return kind.full_row(as_record(kind.resource, found), around)


class RawCondition(Part, frozen=True):
    """A condition as any kind writes it. What a Node calls lastHeartbeatTime, a Deployment calls lastUpdateTime."""

    type: str = ""
    status: str = ""
    last_probe_time: str | None = None
    last_heartbeat_time: str | None = None
    last_update_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class Condition(Part, frozen=True, omit_defaults=False):
    """A condition as rows carry it (contract, section 15)."""

    type: str = ""
    status: str = ""
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


def shown_conditions(given: Iterable[RawCondition]) -> tuple[Condition, ...]:
    """Conditions of a record."""
    return tuple(
        Condition(
            each.type,
            each.status,
            each.last_probe_time or each.last_heartbeat_time or each.last_update_time,
            each.last_transition_time,
            each.reason,
            each.message,
        )
        for each in given
    )


def conditions(given: Sequence[Json] | None) -> tuple[Condition, ...]:
    """Conditions of an object."""
    return shown_conditions(msgspec.convert(given or (), tuple[RawCondition, ...]))


def section(found: Json, *names: str) -> Json:
    """A nested object (`spec`, `template`), empty where there is none."""
    at: Any = found
    for name in names:
        at = at.get(name) if isinstance(at, dict) else None
    return at if isinstance(at, dict) else {}


def set_only(**given: Any) -> Row:
    """The fields that are omitted when empty."""
    return {name: value for name, value in given.items() if value not in (None, "", [], {}, ())}


def selects_labels(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether a plain selector (a Service's, a ReplicationController's) matches; an empty one matches nothing."""
    return bool(selector) and all(labels.get(key) == value for key, value in (selector or {}).items())


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches (apimachinery's meta/v1): none at all matches nothing, an empty one all."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_meets(each, labels) for each in selector.get("matchExpressions") or ())


def _meets(requirement: Json, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.get("key", ""))
    values = requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
