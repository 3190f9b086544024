"""Tables (Kubernetes' API concepts, "Receiving resources as Tables"): what `kubectl get` shows of an object, beside its
metadata. So a record has fields of an object (a Secret's type) whose data was never sent to us. Pure."""

from typing import Any, Generic, TypeVar

import msgspec

from ksnap.kube.watch.records import ListMetadata, Metadata, Part, Record

R = TypeVar("R", bound=Record)


class Column(Part, frozen=True):
    name: str = ""


class TableObject(Part, frozen=True):
    metadata: Metadata = Metadata()


class TableRow(Part, frozen=True):
    cells: tuple[Any, ...] = ()
    object: TableObject = TableObject()


class Table(Part, frozen=True):
    metadata: ListMetadata = ListMetadata()
    column_definitions: tuple[Column, ...] | None = None
    rows: tuple[TableRow, ...] | None = None


class TableDecoder(Generic[R]):
    """Records of which each field beside the metadata is the column of the same name; `cells` has them all."""

    def __init__(self, record: type[R]) -> None:
        self._record = record
        self._fields = {each.name for each in msgspec.structs.fields(record)} - {"metadata"}
        self._columns: tuple[str, ...] = ()
        self._tables = msgspec.json.Decoder(Table)

    def page(self, content: bytes | msgspec.Raw) -> tuple[ListMetadata, list[R]]:
        table = self._tables.decode(content)
        # A watch tells the columns with its first event alone.
        if table.column_definitions:
            self._columns = tuple(each.name.lower().replace(" ", "_") for each in table.column_definitions)
        return table.metadata, [self._of(row) for row in table.rows or ()]

    def record(self, content: bytes | msgspec.Raw) -> R:
        """The one row of an event."""
        _, records = self.page(content)
        if len(records) != 1:
            raise msgspec.ValidationError(f"an event with {len(records)} rows")
        return records[0]

    def _of(self, row: TableRow) -> R:
        cells = zip(self._columns, row.cells, strict=False)
        values = {name: cell for name, cell in cells if name in self._fields}
        if "cells" in self._fields:
            values["cells"] = row.cells
        return self._record(metadata=row.object.metadata, **values)
