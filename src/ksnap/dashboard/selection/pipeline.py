"""Filter, sort, paginate (contract, section 7). Pure, and cheap where it can be.

The records come sorted by the first property already, out of an order that the cache keeps up; only records that are
equal in it, and only where the page reaches them, are looked at again. Ties are broken by namespace, name and uid.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ksnap.dashboard.selection.query import Selection, Sort
from ksnap.kube.watch.objects import Objects, Order
from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)

# The API server's own order, by the key in etcd.
BASE: Order[Any] = Order("", lambda record: "")
# Sorting a few of many is cheaper than looking through the order of all for them.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Picked(Generic[R]):
    """The answer to a selection."""

    page: Sequence[R]
    matching: Sequence[R]
    """All that the filters let through, in no promised order: `totalItems`, and what cumulative metrics are of."""


def pick(
    objects: Objects[R],
    selection: Selection[R],
    *,
    among: Collection[R] | None = None,
    where: Callable[[R], bool] | None = None,
) -> Picked[R]:
    """A page of a cache's records: of all, or of those `among` that were found by an index."""
    sorts = selection.sorts
    order: Order[R] = sorts[0].property.order if sorts else BASE
    records: Sequence[R]
    if among is None:
        records = list(objects.sorted(order))
    elif len(among) * _FEW <= len(objects):
        records = sorted(among, key=order.key)
    else:
        wanted = {each.key for each in among}
        records = [each for each in objects.sorted(order) if each.key in wanted]
    if where is not None:
        records = [each for each in records if where(each)]
    for each in selection.filters:
        records = each.property.matching(records, each.wanted)
    start, stop = selection.slice(len(records))
    return Picked(_window(records, start, stop, sorts), records)


def _window(records: Sequence[R], start: int, stop: int, sorts: Sequence[Sort[R]]) -> Sequence[R]:
    """Positions `start` to `stop` in the wanted order, of records that are sorted upwards by the first property."""
    if not sorts or (len(sorts) == 1 and not sorts[0].descending):
        return records[start:stop]
    value = sorts[0].property.value
    total, descending = len(records), sorts[0].descending
    found: list[R] = []
    at = start
    while at < stop:
        seen = value(records[total - 1 - at if descending else at])
        low, high = bisect_left(records, seen, key=value), bisect_right(records, seen, key=value)
        begin = total - high if descending else low
        run = _sorted_run(records[low:high], sorts[1:])
        taken = run[at - begin : stop - begin]
        found += taken
        at += len(taken)
    return found


def _sorted_run(run: Sequence[R], sorts: Sequence[Sort[R]]) -> Sequence[R]:
    """Records that are equal in the first property, by the others: the last one first, since sorting is stable."""
    for each in reversed(sorts):
        run = sorted(run, key=each.property.value, reverse=each.descending)
    return run
