"""Objects of a custom resource: which resource a definition makes, its list and an object's detail.

The API server is asked for tables, as by `kubectl get`: it works out the printer columns, and
objects that may be large stay there. `columns` are an addition of ours; the original has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.dashboard.kinds.cluster.definitions import DEFINITIONS, Definition
from ksnap.dashboard.kinds.common import Json, as_record, row_of, section
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class CustomObject(Record, frozen=True):
    """What else there is only its definition knows."""

    cells: tuple[Any, ...] = ()
    """Of its table's row: the name, then the printer columns in the definition's order."""

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        keep(self, "cells", strings.same(self.cells[1:]))


@dataclass(frozen=True, slots=True)
class Custom:
    """A definition, understood."""

    kind: Kind[CustomObject]
    shown: Json
    """The version that is shown, as the definition has it."""
    list_kind: str

    @property
    def namespaced(self) -> bool:
        return self.kind.resource.namespaced

    @property
    def list_meta(self) -> Row:
        """The list's own `typeMeta`, which unlike others is Kubernetes' own."""
        return {"kind": self.list_kind, "apiVersion": self.kind.resource.api_version}


def custom_of(found: Json) -> Custom:
    """What a CustomResourceDefinition defines."""
    definition: Definition = as_record(DEFINITIONS.resource, found)
    spec, names = definition.spec, definition.spec.names
    version = definition.version.name
    versions: list[Json] = section(found, "spec").get("versions") or []
    shown: Json = next((each for each in versions if each.get("name") == version), {})
    resource = Resource(
        names.plural,
        names.kind,
        CustomObject,
        group=spec.group,
        version=version,
        namespaced=spec.scope == "Namespaced",
        form="table",
    )
    columns = _columns(shown)
    kind = Kind(
        resource,
        type_name=definition.metadata.name,
        row=lambda record, _around: _cells(record, columns),
        scalable="scale" in section(shown, "subresources"),
    )
    return Custom(kind, shown, names.list_kind or f"{names.kind}List")


def _columns(shown: Json) -> Sequence[str]:
    """The names of the printer columns; empty for one that is no fact: the API server writes dates as ages."""
    columns = shown.get("additionalPrinterColumns") or ()
    return [each.get("name", "") if each.get("type") != "date" else "" for each in columns]


def _cells(record: CustomObject, columns: Sequence[str]) -> Row:
    cells = {name: cell for name, cell in zip(columns, record.cells, strict=False) if name}
    return {"columns": cells} if cells else {}


def custom_row(custom: Custom, found: Json) -> Row:
    """CustomResourceObjectDetail."""
    return {**row_of(custom.kind, found, Around("", {})), "errors": []}


def list_body(custom: Custom, body: Row) -> Row:
    """The engine's envelope as a CustomResourceObjectList."""
    return {"typeMeta": custom.list_meta, **body}
