"""Definitions of custom resources, and which of a definition's versions is shown.

The original takes the first version that is written down, though it may not be served. Here it is the one that is
stored if it is served, else the first that is (contract, section 15).
"""

from ksnap.dashboard.kinds.common import Json, conditions, row_of, section
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Part, Record, without_last_applied
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class Names(Part, frozen=True):
    """Sent as it is: what is empty is left out."""

    plural: str = ""
    singular: str = ""
    short_names: tuple[str, ...] = ()
    kind: str = ""
    list_kind: str = ""
    categories: tuple[str, ...] = ()


class Version(Part, frozen=True):
    name: str = ""
    served: bool = False
    storage: bool = False


class DefinitionSpec(Part, frozen=True):
    group: str = ""
    scope: str = ""
    names: Names = Names()
    versions: tuple[Version, ...] = ()


class DefinitionCondition(Part, frozen=True):
    type: str = ""
    status: str = ""


class DefinitionStatus(Part, frozen=True):
    conditions: tuple[DefinitionCondition, ...] | None = None


class Definition(Record, frozen=True):
    spec: DefinitionSpec = DefinitionSpec()
    status: DefinitionStatus = DefinitionStatus()

    def settle(self, strings: Strings) -> None:
        without_last_applied(self)  # it holds the schemas of all versions once more
        super().settle(strings)

    @property
    def version(self) -> Version:
        """The version to show and to ask for."""
        served = [each for each in self.spec.versions if each.served]
        stored = [each for each in self.spec.versions if each.storage]
        return next(iter([each for each in served if each.storage] or served or stored), Version())

    @property
    def established(self) -> str:
        found = (each.status for each in self.status.conditions or () if each.type == "Established")
        return next(found, "Unknown")


def _row(definition: Definition, _around: Around) -> Row:
    return {
        "version": definition.version.name,
        "group": definition.spec.group,
        "scope": definition.spec.scope,
        "names": definition.spec.names,
        "established": definition.established,
    }


DEFINITIONS = Kind(
    Resource(
        "customresourcedefinitions",
        "CustomResourceDefinition",
        Definition,
        group="apiextensions.k8s.io",
        namespaced=False,
    ),
    type_name="customresourcedefinition",
    row=_row,
    properties=(
        text("group", lambda definition: definition.spec.group),
        text("scope", lambda definition: definition.spec.scope),
    ),
)


def definition_detail(found: Json, shown: Json) -> Row:
    """Without its objects. `shown` is the version that they are shown in, as the definition has it."""
    versions = section(found, "spec").get("versions") or ()
    return {
        **row_of(DEFINITIONS, found, Around("", {})),
        "versions": [{name: each.get(name) for name in ("name", "served", "storage")} for each in versions],
        "conditions": conditions(section(found, "status").get("conditions")),
        "subresources": [f"{name[:1].upper()}{name[1:]}" for name in sorted(section(shown, "subresources"))],
        "errors": [],
    }
