"""The kinds that a cluster says it has, and which one a word means. Pure.

A path of ours names a kind `deployment`, or `plural.group` for a custom resource; what kubectl takes is taken as well:
plurals and short names, a group behind any of them. Where two groups have one kind (event, ingress), the core and
Kubernetes' own groups come first. Reads Kubernetes' aggregated discovery (apidiscovery/v2, APIGroupDiscoveryList).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from ksnap.errors import InvalidInput

BUILT_IN = (
    "",
    "apps",
    "batch",
    "autoscaling",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "admissionregistration.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "certificates.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
)
"""Groups of the API server itself, first the one that wins where kinds share a name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects that a cluster serves."""

    group: str
    versions: tuple[str, ...]
    """The preferred one first."""
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset()
    other_names: frozenset[str] = frozenset()
    """The singular, the plural and short names, in lower case."""

    @property
    def version(self) -> str:
        return self.versions[0]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_built_in(self) -> bool:
        """Whether the API server knows its fields, and with them strategic merge patches."""
        return self.group in BUILT_IN

    @property
    def qualified(self) -> str:
        """`plural.group`, as RBAC and kubectl write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", *, version: str = "", subresource: str = "") -> str:
        """The path of one object, or without a name of all."""
        version = version or self.version
        parts = ["apis", self.group, version] if self.group else ["api", version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [each for each in (self.plural, name, subresource) if each]
        if not {".", ".."}.isdisjoint(parts):
            # The client resolves them as it does in a file's path: the request would be about something else.
            raise InvalidInput("A name is not one", details=f"{namespace}/{name}")
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def check_scope(self, namespace: str) -> None:
        """InvalidInput if a namespace is given where there is none, or missing."""
        if self.namespaced and not namespace:
            raise InvalidInput(f"A {self.kind.lower()} is in a namespace", hint="Name it: .../namespace/NS/name/NAME")
        if namespace and not self.namespaced:
            raise InvalidInput(f"A {self.kind.lower()} is in no namespace", details=f"namespace {namespace}")

    def what(self, namespace: str, name: str) -> str:
        """One object, for errors."""
        return f"{self.kind.lower()} {namespace}/{name}" if namespace else f"{self.kind.lower()} {name}"


class Kinds:
    """All kinds of one cluster."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._all = sorted(kinds, key=_rank)
        self._by_word: dict[str, Kind] = {}
        # Where one group's kind is another's plural or short name, the kind is meant.
        for each in self._all:
            self._by_word.setdefault(each.kind.lower(), each)
        for each in self._all:
            for name in each.other_names:
                self._by_word.setdefault(name, each)

    def named(self, word: str) -> Kind | None:
        """By kind, plural or short name in any case, with its group or without."""
        name, _, group = word.lower().partition(".")
        if group:
            names = (each for each in self._all if each.group == group)
            return next((each for each in names if name == each.kind.lower() or name in each.other_names), None)
        return self._by_word.get(name)

    def of(self, group: str, kind: str) -> Kind | None:
        """By what an object says of itself."""
        return next((each for each in self._all if each.group == group and each.kind == kind), None)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._all)


def parse_kinds(document: Mapping[str, Any]) -> list[Kind]:
    """The kinds of an APIGroupDiscoveryList. Of a resource in several versions the first one's says how it is."""
    found: dict[tuple[str, str], Kind] = {}
    for group in document.get("items") or []:
        name = str((group.get("metadata") or {}).get("name", ""))
        for version in group.get("versions") or []:
            for resource in version.get("resources") or []:
                _add(found, name, str(version["version"]), resource)
    return list(found.values())


def _add(found: dict[tuple[str, str], Kind], group: str, version: str, resource: Mapping[str, Any]) -> None:
    plural, kind = str(resource["resource"]), str((resource.get("responseKind") or {}).get("kind", ""))
    known = found.get((group, plural))
    if known is not None:
        found[group, plural] = replace(known, versions=(*known.versions, version))
    elif kind:
        names = {plural, str(resource.get("singularResource", "")), *(resource.get("shortNames") or [])} - {""}
        found[group, plural] = Kind(
            group=group,
            versions=(version,),
            kind=kind,
            plural=plural,
            namespaced=resource.get("scope") == "Namespaced",
            verbs=frozenset(resource.get("verbs") or []),
            subresources=frozenset(str(each["subresource"]) for each in resource.get("subresources") or []),
            other_names=frozenset(name.lower() for name in names),
        )


def _rank(kind: Kind) -> tuple[int, str, str]:
    place = BUILT_IN.index(kind.group) if kind.is_built_in else len(BUILT_IN)
    return place, kind.group, kind.plural
