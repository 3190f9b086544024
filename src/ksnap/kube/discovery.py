"""Which resource a word means: `deployment`, `deployments`, `deploy` or `deployments.apps`.

Asked of the API server as aggregated discovery (KEP 3352): one call, whatever the number of groups, and a group whose
own server is away costs nothing but itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import msgspec

from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.paths import segment

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# Which group wins where several have a kind of the same name (event, ingress): the core, then Kubernetes' own.
_WELL_KNOWN = ("", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "policy", "autoscaling")


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    resource: str
    response_kind: _Kind | None = None
    scope: str = "Namespaced"
    singular_resource: str = ""
    short_names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    version: str
    resources: tuple[_Resource, ...] = ()


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    versions: tuple[_Version, ...] = ()


class _Groups(msgspec.Struct, frozen=True):
    items: tuple[_Group, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One resource in the version that the API server prefers."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: frozenset[str] = frozenset()
    """Plural, singular, kind and short names, in lower case."""

    def path(self, namespace: str = "", name: str = "") -> str:
        """Its objects' path."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{segment(namespace)}" if self.namespaced and namespace else ""
        return f"{base}{within}/{self.plural}" + (f"/{segment(name)}" if name else "")


def find_resource(resources: list[ApiResource], word: str) -> ApiResource | None:
    """What a word means, in any case: a kind, a plural, a singular or a short name, or `plural.group`."""
    word = word.lower()
    name, _, group = word.partition(".")
    if group:
        return next((each for each in resources if each.group == group and name in each.names), None)
    return next((each for each in resources if word in each.names), None)


async def api_resources(connection: ClusterConnection) -> list[ApiResource]:
    """Every resource that can be read, those of well-known groups first."""
    found = [each for path in ("/api", "/apis") for each in _flattened(await _groups(connection, path))]
    rank = {group: place for place, group in enumerate(_WELL_KNOWN)}
    return sorted(found, key=lambda each: rank.get(each.group, len(rank)))


def _flattened(groups: _Groups) -> Iterator[ApiResource]:
    for group in groups.items:
        seen: set[str] = set()
        for version in group.versions:  # the preferred one comes first
            for each in version.resources:
                if each.resource in seen or "get" not in each.verbs:
                    continue
                seen.add(each.resource)
                kind = each.response_kind.kind if each.response_kind else ""
                names = {each.resource, each.singular_resource, kind, *each.short_names} - {""}
                yield ApiResource(
                    group.metadata.name,
                    version.version,
                    each.resource,
                    kind,
                    each.scope == "Namespaced",
                    frozenset(name.lower() for name in names),
                )


async def _groups(connection: ClusterConnection, path: str) -> _Groups:
    deadlines = aiohttp.ClientTimeout(total=connection.config.timeout_s)
    headers = {"Accept": f"{AGGREGATED},application/json"}
    async with connection.request("GET", path, headers=headers, deadlines=deadlines) as response:
        if response.status >= 400:
            raise connection.refused(response.status, await response.content.read(ERROR_BODY_LIMIT), "discovery")
        return msgspec.json.decode(await response.read(), type=_Groups)
