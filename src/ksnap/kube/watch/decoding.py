"""The API server's bytes to records, by msgspec. Pure.

One object that nobody had thought of must not hide the others: it is kept with its metadata alone.
"""

from typing import Any, Generic, TypeVar

import msgspec

from ksnap.kube.watch.records import ListMetadata, Metadata, Part, Record, without_last_applied
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings
from ksnap.kube.watch.tables import TableDecoder

R = TypeVar("R", bound=Record)


class Status(Part, frozen=True):
    """What comes with an ERROR event."""

    code: int = 0
    reason: str = ""
    message: str = ""


class _Event(Part, frozen=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


class _RawPage(Part, frozen=True):
    metadata: ListMetadata = ListMetadata()
    items: tuple[msgspec.Raw, ...] | None = ()


class _OnlyMetadata(Part, frozen=True):
    metadata: Metadata = Metadata()


class Decoder(Generic[R]):
    """Decodes one resource's pages and events. Raises msgspec.DecodeError for what is no JSON of that shape."""

    def __init__(self, resource: Resource[R], strings: Strings) -> None:
        self._resource = resource
        self._strings = strings
        record: Any = resource.record
        page = msgspec.defstruct(
            "Page", [("metadata", ListMetadata, ListMetadata()), ("items", tuple[record, ...] | None, ())], gc=False
        )
        self._page: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page)
        self._object: msgspec.json.Decoder[R] = msgspec.json.Decoder(record)
        self._raw_page = msgspec.json.Decoder(_RawPage)
        self._event = msgspec.json.Decoder(_Event)
        self._metadata = msgspec.json.Decoder(_OnlyMetadata)
        self._status = msgspec.json.Decoder(Status)
        self._table = TableDecoder(resource.record) if resource.form == "table" else None

    def page(self, content: bytes) -> tuple[ListMetadata, list[R]]:
        """The records of one page of a list, and where it goes on."""
        metadata, records = self._table.page(content) if self._table is not None else self._objects(content)
        for each in records:
            self._settle(each)
        return metadata, records

    def event(self, line: bytes) -> tuple[str, msgspec.Raw]:
        """An event's type, and its object for one of the methods below."""
        found = self._event.decode(line)
        return found.type, found.object

    def record(self, content: bytes | msgspec.Raw) -> R:
        found = self._table.record(content) if self._table is not None else self._decoded(content)
        self._settle(found)
        return found

    def version(self, content: bytes | msgspec.Raw) -> str:
        """The resource version of a bookmark."""
        return self._metadata.decode(content).metadata.resource_version

    def status(self, content: bytes | msgspec.Raw) -> Status:
        return self._status.decode(content)

    def _objects(self, content: bytes) -> tuple[ListMetadata, list[R]]:
        try:
            found = self._page.decode(content)
        except msgspec.ValidationError:
            found = self._raw_page.decode(content)
            return found.metadata, [self._decoded(each) for each in found.items or ()]
        return found.metadata, list(found.items or ())

    def _decoded(self, content: bytes | msgspec.Raw) -> R:
        try:
            return self._object.decode(content)
        except msgspec.ValidationError:
            return self._resource.record(metadata=self._metadata.decode(content).metadata)

    def _settle(self, record: R) -> None:
        if self._resource.form != "object":
            without_last_applied(record)
        record.settle(self._strings)
