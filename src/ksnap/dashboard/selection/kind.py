"""What one kind's lists are made of, declared once (see the package's docstring)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ksnap.dashboard.selection.metrics import Measured, Name
from ksnap.dashboard.selection.properties import Property, common
from ksnap.dashboard.selection.shapes import Row, object_meta, type_meta
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Metered(Generic[R]):
    """Which pods or nodes a list's metrics are of."""

    of: Measured
    names: Callable[[Iterable[R], Around], Iterable[Name]]
    in_rows: bool = False
    """Whether rows show their own use: then `around.usage` has it for the page."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """A kind of list."""

    resource: Resource[R]
    type_name: str
    """`typeMeta.kind`, lower case; also the first segment of its routes."""
    row: Callable[[R, Around], Row]
    """What a row has after objectMeta and typeMeta."""
    items: str = "items"
    """The key of the rows in the envelope."""
    properties: tuple[Property[R], ...] = ()
    """What can be filtered and sorted by beside name, namespace and creationTimestamp."""
    beside: tuple[Resource[Any], ...] = ()
    """Resources that rows or counts look at."""
    status: Callable[[View[R], Around], Mapping[str, int]] | None = None
    """Counts the unfiltered list, for the envelope's `status`; the four (five) words that are missing are zero."""
    metered: Metered[R] | None = None
    """Set where the envelope has `cumulativeMetrics`."""
    scalable: bool = False
    restartable: bool = False

    @property
    def selectable(self) -> dict[str, Property[R]]:
        """All properties by name."""
        return {each.name: each for each in (*common(namespaced=self.resource.namespaced), *self.properties)}

    def full_row(self, record: R, around: Around) -> Row:
        """A row as it goes out."""
        kind = type_meta(self.type_name, scalable=self.scalable, restartable=self.restartable)
        return {"objectMeta": object_meta(record.metadata), "typeMeta": kind, **self.row(record, around)}


def counts(**given: int) -> dict[str, int]:
    """An envelope's `status`, with zeros for what is not given."""
    return {"running": 0, "pending": 0, "failed": 0, "succeeded": 0, **given}
