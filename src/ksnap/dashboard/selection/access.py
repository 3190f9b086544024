"""Who may see what of a watch cache, which is ksnap's own view: asked of Kubernetes for each reader.

The right to list in the whole cluster first; without it the right in each namespace asked for; and who asks for all
namespaces sees those where listing is allowed, as far as a bounded number of questions goes. What is refused stands
in the answer as the API server's own 403.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.watch.resource import Resource

# Questions to the API server at once, for one list.
_AT_ONCE = 10
# Who may not list a resource everywhere is asked about for so many namespaces, the first by name.
MOST_NAMESPACES = 100


@dataclass(frozen=True, slots=True)
class Visible:
    """Where a caller may list a resource, of the namespaces that were asked for."""

    namespaces: frozenset[str] | None
    """None: everywhere."""
    refused: tuple[KubeRefusal, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return self.namespaces is not None and not self.namespaces


def parse_namespaces(text: str) -> tuple[str, ...]:
    """A list path's `{namespace}`: a comma list, its parts trimmed; none left means all (contract, section 8)."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


async def visible(
    who: ClusterAsCaller,
    resource: Resource[Any],
    asked: Sequence[str],
    names: Callable[[], Awaitable[Sequence[str]]],
) -> Visible:
    """Asks. `names` reads the namespaces that there are, for who asks for all and may not list everywhere."""
    if await who.reviews.may("list", resource.plural, group=resource.group):
        return Visible(frozenset(asked) if asked and resource.namespaced else None)
    if not resource.namespaced:
        return Visible(frozenset(), (_refusal(resource),))
    if asked:
        allowed = await _allowed(who, resource, asked[:MOST_NAMESPACES])
        return Visible(allowed, tuple(_refusal(resource, each) for each in asked if each not in allowed))
    allowed = await _allowed(who, resource, sorted(await names())[:MOST_NAMESPACES])
    return Visible(allowed, (_refusal(resource),))


async def _allowed(who: ClusterAsCaller, resource: Resource[Any], namespaces: Sequence[str]) -> frozenset[str]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(namespace: str) -> bool:
        async with places:
            return await who.reviews.may("list", resource.plural, group=resource.group, namespace=namespace)

    answers = await asyncio.gather(*(ask(each) for each in namespaces))
    return frozenset(name for name, allowed in zip(namespaces, answers, strict=True) if allowed)


def _refusal(resource: Resource[Any], namespace: str = "") -> KubeRefusal:
    return KubeRefusal.forbidden("list", resource.plural, group=resource.group, namespace=namespace)
