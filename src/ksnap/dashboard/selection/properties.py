"""What a list can be filtered and sorted by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

from ksnap.errors import InvalidInput
from ksnap.kube.watch.objects import Order
from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Property(Generic[R]):
    """A property of a kind. Times are texts in Kubernetes' form, the empty one for none."""

    name: str
    type: Literal["text", "time"]
    value: Callable[[R], str]
    """It is called for each of ten thousand records: better an `attrgetter` than a function that computes."""

    @property
    def order(self) -> Order[R]:
        return Order(self.name, self.value)

    def wanted(self, given: str) -> str:
        """The value of a filter in the form to compare with."""
        return given if self.type == "text" else to_the_second(given, self.name)

    def matching(self, records: Iterable[R], wanted: str) -> list[R]:
        """Those that a filter lets through: with this substring in a text, at this second."""
        value = self.value
        if self.type == "text":
            return [record for record in records if wanted in value(record)]
        return [record for record in records if value(record) == wanted]


def text(name: str, value: Callable[[R], str]) -> Property[R]:
    return Property(name, "text", value)


def moment(name: str, value: Callable[[R], str]) -> Property[R]:
    return Property(name, "time", value)


def to_the_second(given: str, name: str) -> str:
    """A time as Kubernetes writes it."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidInput(
            "A filter's time is not understood",
            details=f"{name}: {given[:64]!r}",
            hint="Write it like 2026-03-05T10:00:00Z",
        ) from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_NAME: Property[Any] = text("name", attrgetter("metadata.name"))
_NAMESPACE: Property[Any] = text("namespace", attrgetter("metadata.namespace"))
_CREATED: Property[Any] = moment("creationTimestamp", lambda record: record.metadata.creation_timestamp or "")


def common(*, namespaced: bool) -> tuple[Property[Any], ...]:
    """What every kind has."""
    return (_NAME, _NAMESPACE, _CREATED) if namespaced else (_NAME, _CREATED)
