"""Objects of a custom resource: which resource a definition makes, its list and an object's detail."""

from dataclasses import dataclass

from ksnap.dashboard.kinds.cluster.definitions import DEFINITIONS, Definition
from ksnap.dashboard.kinds.common import Json, as_record, row_of, section
from ksnap.dashboard.kinds.plain import no_more
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


class CustomObject(Record, frozen=True):
    """Nothing but metadata: what else there is only its definition knows."""


@dataclass(frozen=True, slots=True)
class Custom:
    """A definition, understood."""

    kind: Kind[CustomObject]
    version: Json
    """The shown version as the definition has it: subresources, schema, columns."""
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
    shown = definition.version.name
    version: Json = next(
        (each for each in section(found, "spec").get("versions") or () if each.get("name") == shown), {}
    )
    resource = Resource(
        names.plural,
        names.kind,
        CustomObject,
        group=spec.group,
        version=shown,
        namespaced=spec.scope == "Namespaced",
        form="metadata",
    )
    scalable = "scale" in section(version, "subresources")
    kind = Kind(resource, type_name=definition.metadata.name, row=no_more, scalable=scalable)
    return Custom(kind, version, names.list_kind or f"{names.kind}List")


def custom_row(custom: Custom, found: Json) -> Row:
    """CustomResourceObjectDetail."""
    return {**row_of(custom.kind, found, Around("", {})), "errors": []}


def list_body(custom: Custom, body: Row) -> Row:
    """The engine's envelope as a CustomResourceObjectList."""
    return {"typeMeta": custom.list_meta, **body}
