"""Several objects that a caller has chosen, read as the caller and put into one file."""

from collections.abc import Sequence
from dataclasses import dataclass

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.export import Bundle, Export, Format
from ksnap.errors import InvalidInput, TooLarge
from ksnap.kube.discovery import api_resources, find_resource

MOST_OBJECTS = 200
# Of one file; an object has 1.5 MiB at most.
MOST_BYTES = 64 << 20
STEM = "selection"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One object, as a query names it."""

    kind: str
    namespace: str
    name: str


def parse_chosen(words: Sequence[str]) -> list[Chosen]:
    """`kind/name` or `kind/namespace/name`, each once, in their order."""
    if not 1 <= len(words) <= MOST_OBJECTS:
        raise InvalidInput(f"object must be given 1 to {MOST_OBJECTS} times", details=f"{len(words)} are given")
    return [_chosen(word) for word in dict.fromkeys(words)]


def _chosen(word: str) -> Chosen:
    match word.split("/"):
        case [kind, name] if kind and name:
            return Chosen(kind, "", name)
        case [kind, namespace, name] if kind and namespace and name:
            return Chosen(kind, namespace, name)
        case _:
            raise InvalidInput("object must be kind/name or kind/namespace/name", details=f"object: {word[:200]!r}")


async def export_selection(
    at: ClusterAsCaller, chosen: Sequence[Chosen], form: Format, *, show_secrets: bool
) -> Export:
    """All of them, or the first one's refusal: a file never lacks one in silence."""
    resources = await api_resources(at.api)
    bundle = Bundle(form, show_secrets=show_secrets)
    for each in chosen:
        resource = find_resource(resources, each.kind)
        if resource is None:
            raise InvalidInput("The kind is not known", details=f"{each.kind[:80]!r} in cluster {at.cluster}")
        if resource.namespaced and not each.namespace:
            raise InvalidInput("The object is in a namespace: kind/namespace/name", details=f"object: {each.kind}")
        path = resource.path(each.namespace, each.name)
        bundle.add(await at.api.get(path, what=f"{each.kind} {each.namespace}/{each.name}"))
        if bundle.size_bytes > MOST_BYTES:
            details = f"at most {MOST_BYTES >> 20} MiB are exported"
            raise TooLarge("The selection is too large for one file", details=details)
    return bundle.export(STEM)
