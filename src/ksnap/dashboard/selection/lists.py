"""The list engine: one call per list route, for every kind.

answer = await lists.answer(PODS, who, namespaces="default", query=request.query_params.multi_items())
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.selection.access import parse_namespaces, visible
from ksnap.dashboard.selection.kind import Kind, counts
from ksnap.dashboard.selection.metrics import MetricsSource
from ksnap.dashboard.selection.pipeline import Picked, pick
from ksnap.dashboard.selection.query import Selection, parse
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.dashboard.statuses import add_error
from ksnap.kube.watch.caches import WatchCaches
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)

NAMESPACES: Resource[Record] = Resource("namespaces", "Namespace", Record, namespaced=False)
"""For the names alone; the kind of the same name has a record of its own, and so a cache."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as it goes out."""

    body: Row
    warnings: tuple[str, ...] = ()
    """For headers `Warning`: what of the query was ignored."""
    age_s: float = 0.0
    """Seconds since the data was last in step with the cluster; 0 while it is."""


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """What a selection finds, before a row is made of it."""

    kind: Kind[R]
    selection: Selection[R]
    around: Around
    picked: Picked[R]
    is_part: bool = False
    """A sub-list, which counts nothing in `status`."""

    @property
    def view(self) -> View[R]:
        return self.around.view(self.kind.resource)


class Lists:
    """Answers lists from the watch caches."""

    def __init__(self, caches: WatchCaches, metrics: MetricsSource) -> None:
        self.caches = caches
        self.metrics = metrics

    async def answer(
        self,
        kind: Kind[R],
        who: ClusterAsCaller,
        *,
        namespaces: str = "",
        query: Iterable[tuple[str, str]] = (),
        fresh: bool = False,
        only: Callable[[View[R], Around], Collection[R]] | None = None,
        also: Sequence[Resource[Any]] = (),
    ) -> Answer:
        """A list's answer. `only` narrows it to a sub-list (found by an index, not by looking at all), for which
        `also` names resources beyond the kind's own `beside`; a sub-list counts nothing in `status`."""
        selection = parse(query, kind.selectable)
        around = await self.around(who, (kind.resource, *kind.beside, *also), namespaces=namespaces, fresh=fresh)
        found = self.find(kind, selection, around, only=only)
        body = {**self.envelope(found), kind.items: self.rows(found, found.picked.page), "errors": around.errors}
        age = max((each.cache.age_s for each in around.views.values() if each.cache is not None), default=0.0)
        return Answer(body, selection.warnings, age)

    def find(
        self,
        kind: Kind[R],
        selection: Selection[R],
        around: Around,
        *,
        only: Callable[[View[R], Around], Collection[R]] | None = None,
    ) -> Found[R]:
        """Filter, sort and cut out the page."""
        view = around.view(kind.resource)
        among = view.among() if only is None else only(view, around)
        return Found(kind, selection, around, pick(view.objects, selection, among=among), only is not None)

    def envelope(self, found: Found[R], *, metrics: bool = True) -> Row:
        """What stands around the rows, without the errors, some of which it finds."""
        kind, around, matching = found.kind, found.around, found.picked.matching
        body: Row = {"listMeta": {"totalItems": len(matching)}}
        if kind.metered is not None:
            around.errors += self.metrics.errors(around.cluster)
            if metrics:
                body["cumulativeMetrics"] = self._cumulative(kind, found.selection, matching, around)
        if kind.status is not None:
            body["status"] = counts() if found.is_part else counts(**kind.status(found.view, around))
        return body

    def rows(self, found: Found[R], records: Sequence[R]) -> list[Row]:
        """The rows of some of what was found."""
        self._add_usage(found.kind, records, found.around)
        return [found.kind.full_row(each, found.around) for each in records]

    async def around(
        self, who: ClusterAsCaller, resources: Sequence[Resource[Any]], *, namespaces: str = "", fresh: bool = False
    ) -> Around:
        """Views of resources as the caller may see them in these namespaces, for a list or for a detail's counts.
        What may not be seen is empty, and the 403 is in `errors`."""
        asked, unique = parse_namespaces(namespaces), tuple(dict.fromkeys(resources))
        found = await asyncio.gather(*(visible(who, each, asked, partial(self._names, who)) for each in unique))
        shown = dict(zip(unique, found, strict=True))
        for each in unique:  # those that are not filled yet fill at once
            if not shown[each].is_nothing:
                self.caches.cache(who.own, each)
        around = Around(who.cluster, {})
        views: dict[Resource[Any], View[Any]] = {}
        for each in unique:
            nothing = shown[each].is_nothing
            cache = None if nothing else await self.caches.ready(who.own, each, fresh=fresh)
            views[each] = View(cache, shown[each].namespaces)
            for refusal in shown[each].refused:
                add_error(around.errors, refusal)
        around.views = views
        return around

    async def _names(self, who: ClusterAsCaller) -> list[str]:
        cache = await self.caches.ready(who.own, NAMESPACES)
        return [each.metadata.name for each in cache.objects]

    def _cumulative(self, kind: Kind[R], selection: Selection[R], matching: Sequence[R], around: Around) -> list[Row]:
        metered = kind.metered
        if metered is None or not self.metrics.available(around.cluster):
            return []
        return self.metrics.cumulative(
            around.cluster,
            metered.of,
            list(metered.names(matching, around)),
            metrics=selection.metric_names,
            aggregations=selection.aggregations,
        )

    def _add_usage(self, kind: Kind[R], page: Sequence[R], around: Around) -> None:
        metered = kind.metered
        if metered is None or not metered.in_rows or not self.metrics.available(around.cluster):
            return
        found = self.metrics.usage(around.cluster, metered.of, list(metered.names(page, around)))
        around.usage = {(metered.of, name): usage for name, usage in found.items()}
