"""Which kinds a cluster has, and how a path of ours names one: `deployment`, or `plural.group` for a custom resource.

What kubectl takes is taken as well: plurals and short names, a group behind any of them.

Read by aggregated discovery (Kubernetes' API concepts, "Aggregated discovery"): two requests for all groups, in which
a broken aggregated API is only marked as stale. Remembered per cluster, read again when a name is not found or after
some minutes. Where two groups have one kind (event, ingress), the core and Kubernetes' own groups come first.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import aiohttp

from ksnap.errors import ClusterConnectionFailed, InvalidInput, NotFound
from ksnap.kube.connection import ClusterConnection

# Newer API servers know `v2`, those before 1.30 `v2beta1`; the shape is the same.
ACCEPT = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
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
# A removed kind, or a version that is no longer served, is noticed after this at the latest.
FRESH_S = 300.0
# Names that do not exist cost a reading each; strangers must not make more of them than this.
APART_S = 1.0


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


@dataclass(slots=True)
class _Known:
    kinds: Kinds = field(default_factory=lambda: Kinds(()))
    read_at: float = float("-inf")
    """When the reading began."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Discovery:
    """The kinds of all clusters. Read with ksnap's own account, for what it says is the same for all."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[ClusterConnection, _Known] = WeakKeyDictionary()

    async def named(self, own: ClusterConnection, word: str) -> Kind:
        """The kind that a path names; NotFound if the cluster has none, as of now."""
        asked_at = time.monotonic()
        found = (await self.kinds(own, not_before=asked_at - FRESH_S)).named(word)
        found = found or (await self.kinds(own, not_before=asked_at)).named(word)
        if found is None:
            raise _unknown(word, own.name)
        return found

    async def of(self, own: ClusterConnection, group: str, kind: str) -> Kind:
        """The kind that an object says it is."""
        asked_at = time.monotonic()
        found = (await self.kinds(own, not_before=asked_at - FRESH_S)).of(group, kind)
        found = found or (await self.kinds(own, not_before=asked_at)).of(group, kind)
        if found is None:
            raise _unknown(f"{group}/{kind}" if group else kind, own.name)
        return found

    async def kinds(self, own: ClusterConnection, *, not_before: float | None = None) -> Kinds:
        """All kinds, as they were at some moment not before this one of the monotonic clock."""
        limit = time.monotonic() - FRESH_S if not_before is None else not_before
        known = self._known.setdefault(own, _Known())
        if known.read_at >= limit:
            return known.kinds
        async with known.lock:
            if known.read_at < limit:  # nobody has read them meanwhile
                await asyncio.sleep(known.read_at + APART_S - time.monotonic())
                began = time.monotonic()
                known.kinds, known.read_at = await _read(own), began
        return known.kinds


@dataclass(frozen=True, slots=True)
class ClusterKinds:
    """The kinds of one cluster, as a request asks for them."""

    _discovery: Discovery
    _own: ClusterConnection

    async def named(self, word: str) -> Kind:
        """`deployment`, `Deployment`, or `plural.group`. NotFound if the cluster has no such kind."""
        return await self._discovery.named(self._own, word)

    async def of(self, api_version: str, kind: str) -> Kind:
        """The kind of an object with this `apiVersion` and `kind`."""
        return await self._discovery.of(self._own, api_version.rpartition("/")[0], kind)

    async def all(self) -> Kinds:
        return await self._discovery.kinds(self._own)


async def _read(own: ClusterConnection) -> Kinds:
    core, groups = await asyncio.gather(_document(own, "/api"), _document(own, "/apis"))
    return Kinds(parse_kinds(core) + parse_kinds(groups))


async def _document(own: ClusterConnection, path: str) -> Mapping[str, Any]:
    deadlines = aiohttp.ClientTimeout(total=own.config.timeout_s)
    async with own.request("GET", path, headers={"Accept": ACCEPT}, deadlines=deadlines) as response:
        if response.status >= 400:
            raise own.refused(response.status, await response.read(), "discovery")
        document = await response.json(content_type=None)
    if not isinstance(document, dict) or document.get("kind") != "APIGroupDiscoveryList":
        raise ClusterConnectionFailed(
            "The API server does not know aggregated discovery",
            details=f"cluster {own.name}",
            hint="Kubernetes has it from 1.26 on",
        )
    return document


def _unknown(word: str, cluster: str) -> NotFound:
    return NotFound(
        "The cluster has no such kind",
        details=f"{word[:200]} in cluster {cluster}",
        hint="Kinds are named in lower case (deployment), custom resources as plural.group",
    )
