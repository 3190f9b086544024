"""Who may see what of a watch cache, which is ksnap's own view: asked of Kubernetes for each reader.

The right to list in the whole cluster first; without it the right in each namespace asked for; and who asks for all
namespaces sees those where listing is allowed, as far as a bounded number of questions goes. What is refused stands
in the answer as the API server's own 403.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from ksnap.dashboard.selection.shapes import Row, forbidden
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.watch.resource import Resource

# Questions to the API server at once, for one list.
_AT_ONCE = 10


class AccessReviews(Protocol):
    async def may(self, verb: str, resource: str, *, group: str = "", namespace: str = "") -> bool:
        """Whether the caller may; remembered for some seconds."""


class Caller(Protocol):
    @property
    def user(self) -> str: ...


class AsCaller(Protocol):
    """What lists need of who asks: `ClusterAsCaller` of `dashboard/context` has it."""

    @property
    def cluster(self) -> str: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def own(self) -> ClusterConnection: ...
    @property
    def reviews(self) -> AccessReviews: ...


def parse_namespaces(text: str) -> tuple[str, ...]:
    """A list path's `{namespace}`: a comma list, its parts trimmed; none left means all (contract, section 8)."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


async def visible(
    who: AsCaller, resource: Resource[Any], asked: Sequence[str], known: Sequence[str]
) -> tuple[frozenset[str] | None, list[Row]]:
    """The namespaces to show (None: all), and what was refused. `known` are those to try where all are asked for."""
    everywhere = await who.reviews.may("list", resource.plural, group=resource.group)
    if everywhere or not resource.namespaced:
        namespaces = frozenset(asked) if asked and resource.namespaced else None
        return (namespaces, []) if everywhere else (frozenset(), [_refusal(who, resource)])
    tried = tuple(asked) or tuple(known)
    allowed = await _allowed(who, resource, tried)
    refused = [_refusal(who, resource, each) for each in asked if each not in allowed] if asked else []
    return allowed, refused if asked else [_refusal(who, resource)]


async def _allowed(who: AsCaller, resource: Resource[Any], namespaces: Sequence[str]) -> frozenset[str]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(namespace: str) -> bool:
        async with places:
            return await who.reviews.may("list", resource.plural, group=resource.group, namespace=namespace)

    answers = await asyncio.gather(*(ask(each) for each in namespaces))
    return frozenset(name for name, allowed in zip(namespaces, answers, strict=True) if allowed)


def _refusal(who: AsCaller, resource: Resource[Any], namespace: str = "") -> Row:
    return forbidden(resource.plural, resource.group, who.caller.user, namespace)
