"""The metrics of all clusters for lists and details: the `MetricsSource` of the list engine.

It answers from memory. A cluster's meter begins when it is first asked about and ends when nobody has asked for some
minutes; the hour is in the store by then.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import structlog

from ksnap.dashboard.metrics.history import History
from ksnap.dashboard.metrics.meter import Meter
from ksnap.dashboard.metrics.points import DataPoint, MetricPoint
from ksnap.dashboard.metrics.sources import Source
from ksnap.dashboard.metrics.window import Metric, Moment, Series, Window
from ksnap.dashboard.selection.metrics import Measured, Usage
from ksnap.dashboard.selection.query import METRICS, Aggregation
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.statuses import err_status
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.connections import ClusterConnections
from ksnap.model.usage import Name

_METRICS: Mapping[str, Metric] = {"cpu/usage_rate": "cpu", "memory/usage": "memory"}
IDLE_S = 300.0
# How often the idle ones are looked for, as a part of how long they may be idle.
_LOOKS = 5

_log = structlog.get_logger(__name__)


class Metrics:
    """Enter it before use; leaving it ends all meters."""

    def __init__(
        self,
        connections: ClusterConnections,
        sources: Callable[[ClusterConnection], Sequence[Source]],
        history: History,
        *,
        check_s: float = 30.0,
        idle_s: float = IDLE_S,
    ) -> None:
        self._connections = connections
        self._sources = sources
        self._history = history
        self._check_s = check_s
        self._idle_s = idle_s
        self._meters: dict[str, tuple[Meter, asyncio.Task[None]]] = {}
        self._used: dict[str, float] = {}
        self._ending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ending = asyncio.create_task(self._end_idle(), name="end idle meters")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        tasks = [task for _, task in self._meters.values()]
        tasks += [self._ending] if self._ending is not None else []
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._meters.clear()

    # For lists

    def available(self, cluster: str) -> bool:
        return self._meter(cluster).is_on

    def errors(self, cluster: str) -> list[Row]:
        """Why there is none, or not all, where there should be: items of `errors`."""
        trouble = self._meter(cluster).trouble
        return [err_status(trouble)] if trouble is not None else []

    def looked_at(self, cluster: str) -> int:
        """The minute of the newest figures: what was answered before holds until it changes."""
        return self._meter(cluster).looked_at

    def usage(self, cluster: str, of: Measured, names: Sequence[Name]) -> Mapping[Name, Usage]:
        window = self._window(cluster, of)
        found: dict[Name, Usage] = {}
        for name in names:
            if series := window.find((name,)):
                now = window.latest(name)
                cpu, memory = now if now is not None else (None, None)
                found[name] = Usage(cpu, memory, _history(window, series, "cpu"), _history(window, series, "memory"))
        return found

    def cumulative(
        self,
        cluster: str,
        of: Measured,
        names: Sequence[Name],
        *,
        metrics: Sequence[str] = METRICS,
        aggregations: Sequence[Aggregation] = ("sum",),
    ) -> list[dict[str, Any]]:
        window = self._window(cluster, of)
        series = window.find(names)
        if not series:
            return []
        return [
            _metric(name, mode, _points(window, series, _METRICS[name], mode), alone=len(names) == 1)
            for name in metrics
            for mode in aggregations
        ]

    # Meters

    def _window(self, cluster: str, of: Measured) -> Window:
        meter = self._meter(cluster)
        return meter.pods if of == "pod" else meter.nodes

    def _meter(self, cluster: str) -> Meter:
        self._used[cluster] = time.monotonic()
        known = self._meters.get(cluster)
        if known is None:
            meter = Meter(
                cluster,
                lambda: self._connections.get(cluster),
                self._sources,
                self._history,
                check_s=self._check_s,
            )
            known = meter, asyncio.create_task(meter.run(), name=f"usage of {cluster}")
            self._meters[cluster] = known
            _log.info("usage_begun", cluster=cluster)
        return known[0]

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(self._idle_s / _LOOKS)
            for cluster, (_, task) in list(self._meters.items()):
                if time.monotonic() - self._used[cluster] >= self._idle_s:
                    del self._meters[cluster]
                    task.cancel()
                    _log.info("usage_ended_idle", cluster=cluster)


def _history(window: Window, series: Sequence[Series], metric: Metric) -> list[MetricPoint]:
    return [MetricPoint(moment.text, value) for moment, value in window.sums(series, metric)]


def _points(window: Window, series: Sequence[Series], metric: Metric, mode: Aggregation) -> list[tuple[Moment, int]]:
    match mode:
        case "sum":
            return window.sums(series, metric)
        case "max":
            return window.largest(series, metric)
        case "min":
            return window.smallest(series, metric)


def _metric(name: str, mode: Aggregation, points: Sequence[tuple[Moment, int]], *, alone: bool) -> dict[str, Any]:
    """The contract's `Metric`; `metricPoints` only of one resource."""
    found: dict[str, Any] = {"dataPoints": [DataPoint(moment.at, value) for moment, value in points]}
    found["metricPoints"] = [MetricPoint(moment.text, value) for moment, value in points] if alone else []
    return {**found, "metricName": name, "aggregation": mode}
