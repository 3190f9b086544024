"""One reader of one list that stays up to date.

At each look the list is what a GET would answer now, for this caller: rights are asked anew (and remembered for some
seconds, as everywhere), so that what may no longer be seen goes, and the follower with it when nothing is left. Changes
that come while a look or its sending takes its time are told together: a reader never lags behind by more than a look.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.live.pace import SETTLE_S, Pace
from ksnap.dashboard.live.relations import Touched
from ksnap.dashboard.live.shown import Shown, difference, encode
from ksnap.dashboard.selection.access import parse_namespaces
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.lists import Found, Lists
from ksnap.dashboard.selection.query import Selection
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.errors import ClusterConnectionFailed
from ksnap.kube.watch.cache import WatchCache
from ksnap.kube.watch.feed import RESYNC, Subscription
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)
# With the five seconds for which a review is remembered, a right that was taken away is gone within ten.
REVIEW_S = 3.0
# What no relation has told about shows after so long.
ALL_ROWS_S = 30.0
# How long a cluster that does not answer is waited for.
PATIENCE_S = 60.0
# Rows that are made in one go, before others get a turn.
ROWS_AT_ONCE = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a reader is told."""

    id: str
    content: bytes
    """A JSON object."""


class Follower(Generic[R]):
    """Made by `follow`."""

    def __init__(
        self,
        lists: Lists,
        kind: Kind[R],
        who: ClusterAsCaller,
        selection: Selection[R],
        *,
        namespaces: str,
        after: str,
        pace: Pace,
        stack: ExitStack,
    ) -> None:
        self._lists = lists
        self._kind = kind
        self._who = who
        self._selection = selection
        self._namespaces = namespaces
        self._after = after
        self._pace = pace
        self._stack = stack
        self._subscriptions: dict[WatchCache[Any], Subscription[Any]] = {}
        self._shown: Shown[R] | None = None
        self._touched = Touched()
        self._is_changed = True
        self._looked_at = float("-inf")
        self._all_rows_at = float("-inf")
        self._next_look = 0.0
        self._measured_at = -1
        self._seen_namespaces: dict[Resource[Any], frozenset[str] | None] = {}
        self._lost_at: float | None = None

    async def begin(self) -> None:
        """Return once the list can be read; what stands against that is raised."""
        await self._around()

    async def next(self) -> Frame:
        """The list first, then what has changed of it. May be cancelled at any moment; nothing is lost by that."""
        while True:
            if self._shown is not None:
                await self._wait()
            frame = await self._look()
            if frame is not None:
                return frame

    # Waiting

    async def _wait(self) -> None:
        """Until there may be something to tell, and it is time to look."""
        while not self._is_changed and time.monotonic() - self._looked_at < REVIEW_S:
            await self._news(self._looked_at + REVIEW_S - time.monotonic())
        if self._is_changed:
            await asyncio.sleep(max(SETTLE_S, self._next_look - time.monotonic()))
            self._take_all()

    async def _news(self, limit_s: float) -> None:
        """The next changes of any cache, taken note of; or none within the limit."""
        waits = {asyncio.ensure_future(each.next()): cache for cache, each in self._subscriptions.items()}
        try:
            await asyncio.wait(waits, timeout=max(0.0, limit_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each, cache in waits.items():
                if each.done() and not each.cancelled() and each.exception() is None:
                    self._note(cache, each.result())
                each.cancel()
        for each in waits:
            if each.done() and not each.cancelled():
                each.result()  # raises what the cache has ended with

    def _take_all(self) -> None:
        """What has come since, without waiting for more."""
        for cache, each in self._subscriptions.items():
            self._note(cache, each.take())

    def _note(self, cache: WatchCache[Any], news: Sequence[Any]) -> None:
        for each in news:
            self._is_changed = True
            if each is RESYNC:
                self._touched.everything = True
            elif cache.resource != self._kind.resource:
                self._touched.add(each)

    # Looking

    async def _look(self) -> Frame | None:
        """The list as it is now, and what of it the reader does not know."""
        now = time.monotonic()
        self._looked_at = now
        try:
            around = await self._around()
        except ClusterConnectionFailed as error:
            self._bear(error, now)
            return None
        self._lost_at = None
        if now - self._all_rows_at >= ALL_ROWS_S:
            self._touched.everything, self._all_rows_at = True, now
        measured_at = self._lists.metrics.looked_at(around.cluster) if self._kind.metered is not None else -1
        namespaces = {each: view.namespaces for each, view in around.views.items()}
        if not (self._is_changed or self._touched) and (measured_at, namespaces) == (
            self._measured_at,
            self._seen_namespaces,
        ):
            return None
        frame = await self._compared(around, is_measured=measured_at != self._measured_at)
        self._measured_at, self._seen_namespaces = measured_at, namespaces
        return frame

    async def _around(self) -> Around:
        kind = self._kind
        around = await self._lists.around(self._who, (kind.resource, *kind.beside), namespaces=self._namespaces)
        view = around.view(kind.resource)
        if view.cache is None:
            for namespace in parse_namespaces(self._namespaces) or ("",):
                resource = kind.resource
                await self._who.reviews.require("list", resource.plural, group=resource.group, namespace=namespace)
        for each in around.views.values():
            if each.cache is not None and each.cache not in self._subscriptions:
                self._subscriptions[each.cache] = self._stack.enter_context(each.cache.subscribe())
                self._is_changed = self._touched.everything = True
        return around

    async def _compared(self, around: Around, *, is_measured: bool) -> Frame | None:
        began = time.monotonic()
        touched, self._touched, self._is_changed = self._touched, Touched(), False
        try:
            found = self._lists.find(self._kind, self._selection, around)
            envelope = self._lists.envelope(found, metrics=is_measured)
            everything = touched.everything or (is_measured and found.kind.metered is not None)
            rows = await self._rows(found, touched, everything=everything)
        except BaseException:
            self._touched, self._is_changed = touched, True
            self._touched.everything = True
            raise
        envelope["errors"] = around.errors
        frame = self._told(found, rows, envelope)
        self._next_look = time.monotonic() + self._pace.interval_s(time.monotonic() - began)
        return frame

    async def _rows(self, found: Found[R], touched: Touched, *, everything: bool) -> dict[tuple[str, str], bytes]:
        """The rows that may look different, as they go out."""
        lines = self._shown.lines if self._shown is not None else {}
        uids = touched.uids(found.around, self._kind.beside) if not everything else set[str]()
        wanted = [
            each
            for each in found.picked.page
            if everything
            or (old := lines.get(each.key)) is None
            or old.record is not each
            or each.metadata.uid in uids
            or each.metadata.name in touched.nodes
        ]
        rows: dict[tuple[str, str], bytes] = {}
        for start in range(0, len(wanted), ROWS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = wanted[start : start + ROWS_AT_ONCE]
            rows |= {each.key: encode(row) for each, row in zip(some, self._lists.rows(found, some), strict=True)}
        return rows

    def _told(self, found: Found[R], rows: dict[tuple[str, str], bytes], envelope: Row) -> Frame | None:
        page, sorts = found.picked.page, self._selection.sorts
        before = self._shown
        self._shown, told = difference(before or Shown(), page, rows, envelope, sorts)
        if before is not None:
            return self._frame("changes", told) if told else None
        if self._after and self._after == self._shown.id:
            return self._frame("unchanged", {})
        changes = told.pop("changes", [])
        items = [each["object"] for each in changes]
        return self._frame("list", {"list": {**told, found.kind.items: items}})

    def _frame(self, kind: str, told: Row) -> Frame:
        identifier = self._shown.id if self._shown is not None else ""
        return Frame(identifier, encode({"type": kind, "id": identifier, **told}))

    def _bear(self, error: ClusterConnectionFailed, now: float) -> None:
        """Readers of lists go on for a while without an API server, and so do followers."""
        self._next_look = now + REVIEW_S
        if self._lost_at is None:
            self._lost_at = now
            _log.warning("live_list_waits", cluster=self._who.cluster, reason=error.message)
        if now - self._lost_at > PATIENCE_S:
            raise error


@asynccontextmanager
async def follow(
    lists: Lists,
    kind: Kind[R],
    who: ClusterAsCaller,
    selection: Selection[R],
    *,
    namespaces: str = "",
    after: str = "",
    pace: Pace,
) -> AsyncIterator[Follower[R]]:
    """A reader's follower for as long as the block lasts. KubeRefusal (403) for who may not list it."""
    with ExitStack() as stack:
        stack.enter_context(pace.one_more())
        follower = Follower(lists, kind, who, selection, namespaces=namespaces, after=after, pace=pace, stack=stack)
        await follower.begin()
        yield follower
