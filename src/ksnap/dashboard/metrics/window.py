"""The last hour of cpu and memory of many things, small and quick to sum up. Pure.

A thing's hour is one long integer a metric, with a lane of 64 bits for each look, the newest lowest. Python adds such
integers in C, limb by limb, so the sixty sums over ten thousand pods are ten thousand additions: less than a
millisecond, which no page has to save by a cache. A lane is wide enough for the sum of all.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Literal, NamedTuple

from ksnap.dashboard.metrics.points import timestamp
from ksnap.model.usage import Amounts, Name

Metric = Literal["cpu", "memory"]
LOOKS = 60
SPAN_S = 3600
_LANE = 64
_LANE_BYTES = _LANE // 8


class Series(NamedTuple):
    """One thing's hour."""

    cpu: int
    memory: int
    seen: int
    """A bit for each look, the newest lowest: whether the thing was there."""


class Moment(NamedTuple):
    """When a look was taken."""

    at: int
    """Unix seconds."""
    text: str
    """The same as it goes out."""


class Window:
    """Pods, or nodes. Never changed: `after` makes the next one, and may be called in a thread."""

    def __init__(self, moments: tuple[Moment, ...] = (), series: Mapping[Name, Series] | None = None) -> None:
        self.moments = moments
        """The newest first."""
        self._series = series or {}

    def __len__(self) -> int:
        return len(self._series)

    def after(self, at: int, amounts: Mapping[Name, Amounts]) -> "Window":
        """The window with one more look, without what is older than an hour then."""
        kept = [each for each in self.moments if at - SPAN_S < each.at < at][: LOOKS - 1]
        lanes, bits = (1 << (len(kept) * _LANE)) - 1, (1 << len(kept)) - 1
        moved: dict[Name, Series] = {}
        for name, (cpu, memory, seen) in self._series.items():
            if left := seen & bits:
                moved[name] = Series((cpu & lanes) << _LANE, (memory & lanes) << _LANE, left << 1)
        for name, (cpu, memory) in amounts.items():
            before = moved.get(name, _NOTHING)
            moved[name] = Series(before.cpu | cpu, before.memory | memory, before.seen | 1)
        return Window((Moment(at, timestamp(at)), *kept), moved)

    def find(self, names: Iterable[Name]) -> list[Series]:
        """The hours of these, as far as they are known."""
        get = self._series.get
        return [each for each in map(get, names) if each is not None]

    def latest(self, name: Name) -> Amounts | None:
        """Of the newest look; None for what was not there then."""
        found = self._series.get(name)
        if found is None or not found.seen & 1:
            return None
        return found.cpu & _LOWEST, found.memory & _LOWEST

    def sums(self, series: Sequence[Series], metric: Metric) -> list[tuple[Moment, int]]:
        """The sum at each moment at which some were there, the oldest first."""
        total = sum([_hour(each, metric) for each in series])
        return self._points(total, reduce(or_, [each.seen for each in series], 0))

    def largest(self, series: Sequence[Series], metric: Metric) -> list[tuple[Moment, int]]:
        """The largest at each moment; what was not there counts as nothing."""
        return self._extremes(max, [_hour(each, metric) for each in series], series)

    def smallest(self, series: Sequence[Series], metric: Metric) -> list[tuple[Moment, int]]:
        """The smallest at each moment, among those that were there."""
        masks: dict[int, int] = {}
        hours = []
        for each in series:
            if each.seen not in masks:
                absent = [look for look in range(len(self.moments)) if not each.seen >> look & 1]
                masks[each.seen] = sum(_LOWEST << look * _LANE for look in absent)
            hours.append(_hour(each, metric) | masks[each.seen])
        return self._extremes(min, hours, series)

    def _extremes(
        self, choose: Callable[[Iterable[int]], int], hours: list[int], series: Sequence[Series]
    ) -> list[tuple[Moment, int]]:
        seen = reduce(or_, [each.seen for each in series], 0)
        columns = list(zip(*map(self._lanes, hours), strict=True))
        return [
            (self.moments[look], choose(columns[look])) for look in reversed(range(len(columns))) if seen >> look & 1
        ]

    def _points(self, lanes: int, seen: int) -> list[tuple[Moment, int]]:
        values = self._lanes(lanes)
        return [(self.moments[look], values[look]) for look in reversed(range(len(values))) if seen >> look & 1]

    def _lanes(self, lanes: int) -> "array[int]":
        return array("Q", lanes.to_bytes(len(self.moments) * _LANE_BYTES, "little"))


def _hour(series: Series, metric: Metric) -> int:
    return series.cpu if metric == "cpu" else series.memory


_NOTHING = Series(0, 0, 0)
_LOWEST = (1 << _LANE) - 1
