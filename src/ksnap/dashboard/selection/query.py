"""The query of a list: filterBy, sortBy, itemsPerPage, page, metricNames, aggregations (contract, section 7). Pure.

Where the Dashboard ignored what it did not understand, and so answered something else than was asked, we say 400 with
what is allowed. The one exception is a sort by a property that a kind does not have: its own pages send those.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from ksnap.dashboard.selection.properties import Property
from ksnap.errors import InvalidInput
from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)
Aggregation = Literal["sum", "max", "min"]
METRICS = ("cpu/usage_rate", "memory/usage")
AGGREGATIONS: tuple[Aggregation, ...] = ("sum", "max", "min")
PARAMETERS = ("filterBy", "sortBy", "itemsPerPage", "page", "metricNames", "aggregations")
# Longer numbers than any list; they only must not become slow.
_DIGITS = 30


@dataclass(frozen=True, slots=True)
class Filter(Generic[R]):
    property: Property[R]
    wanted: str


@dataclass(frozen=True, slots=True)
class Sort(Generic[R]):
    property: Property[R]
    descending: bool


@dataclass(frozen=True, slots=True)
class Selection(Generic[R]):
    """What of a list is wanted."""

    filters: tuple[Filter[R], ...] = ()
    sorts: tuple[Sort[R], ...] = ()
    items_per_page: int | None = None
    """None: all."""
    page: int = 1
    metric_names: tuple[str, ...] = METRICS
    aggregations: tuple[Aggregation, ...] = ("sum",)
    warnings: tuple[str, ...] = ()
    """What was asked for and ignored, for the header `Warning`."""

    def slice(self, total: int) -> tuple[int, int]:
        """The page among so many, as positions."""
        if self.items_per_page is None:
            return 0, total
        start = min((self.page - 1) * self.items_per_page, total)
        return start, min(start + self.items_per_page, total)


def parse(query: Iterable[tuple[str, str]], properties: Mapping[str, Property[R]]) -> Selection[R]:
    """The selection that a query asks for, or InvalidInput with what is allowed. Other parameters are not ours."""
    given: dict[str, list[str]] = {}
    for name, value in query:
        if name in PARAMETERS:
            given.setdefault(name, []).append(value)
    filters = tuple(each for value in given.get("filterBy", ()) for each in _filters(value, properties))
    sorts, warnings = _sorts(_last(given, "sortBy"), properties)
    per_page = _number(_last(given, "itemsPerPage"), "itemsPerPage", least=0)
    page = _number(_last(given, "page"), "page", least=1)
    names = _listed(_last(given, "metricNames"), METRICS, "metricNames") or METRICS
    modes = _listed(_last(given, "aggregations"), AGGREGATIONS, "aggregations") or ("sum",)
    # Without one of the two the Dashboard answers everything.
    paged = per_page is not None and page is not None
    return Selection(
        filters,
        sorts,
        per_page if paged else None,
        page if paged and page is not None else 1,
        names,
        cast(tuple[Aggregation, ...], modes),
        warnings,
    )


def _filters(value: str, properties: Mapping[str, Property[R]]) -> list[Filter[R]]:
    if not value:
        return []
    parts = value.split(",")
    if len(parts) == 1:
        raise InvalidInput(
            "filterBy is not understood", details=f"{value[:64]!r} has no value", hint="Write it like filterBy=name,web"
        )
    if len(parts) % 2:  # a value with commas in it: they belong to the last one
        parts = [*parts[:-2], f"{parts[-2]},{parts[-1]}"]
    return [_filter(name, wanted, properties) for name, wanted in zip(parts[::2], parts[1::2], strict=True)]


def _filter(name: str, wanted: str, properties: Mapping[str, Property[R]]) -> Filter[R]:
    found = properties.get(name)
    if found is None:
        raise InvalidInput(
            "This list cannot be filtered so",
            details=f"it has no property {name[:64]!r}",
            hint=f"It has {', '.join(properties)}",
        )
    return Filter(found, found.wanted(wanted) if wanted or found.type == "text" else "")


def _sorts(value: str | None, properties: Mapping[str, Property[R]]) -> tuple[tuple[Sort[R], ...], tuple[str, ...]]:
    if not value:
        return (), ()
    parts = value.split(",")
    if len(parts) % 2 or any(each not in {"a", "d"} for each in parts[::2]):
        raise InvalidInput(
            "sortBy is not understood",
            details=f"{value[:64]!r} is no list of a or d and a property each",
            hint="Write it like sortBy=d,creationTimestamp,a,name",
        )
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    sorts = tuple(Sort(properties[name], direction == "d") for direction, name in pairs if name in properties)
    unknown = [name for _, name in pairs if name not in properties]
    has = ", ".join(properties)
    return sorts, tuple(f"sortBy: there is no property {name[:64]!r} here; there are {has}" for name in unknown)


def _number(text: str | None, name: str, *, least: int) -> int | None:
    if text is None or text == "":
        return None
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS or int(text) < least:
        raise InvalidInput(
            f"{name} is not understood", details=f"{text[:64]!r}", hint=f"It is a whole number from {least}"
        )
    return int(text)


def _listed(text: str | None, allowed: Sequence[str], name: str) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(each.strip() for each in (text or "").split(",") if each.strip()))
    for each in given:
        if each not in allowed:
            raise InvalidInput(
                f"{name} is not understood", details=f"{each[:64]!r}", hint=f"There are {', '.join(allowed)}"
            )
    return given


def _last(given: Mapping[str, list[str]], name: str) -> str | None:
    values = given.get(name)
    return values[-1] if values else None


Predicate = Callable[[Any], bool]
