"""Where use of cpu and memory comes from: a Protocol for the integrations to fill, and the source of none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ksnap.dashboard.metrics.points import MetricPoint
from ksnap.dashboard.selection.query import Aggregation
from ksnap.model import usage

Measured = Literal["pod", "node"]
Name = usage.Name


@dataclass(frozen=True, slots=True)
class Usage:
    """What one pod or node uses."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    cpu_history: Sequence[MetricPoint] = ()
    memory_history: Sequence[MetricPoint] = ()


class MetricsSource(Protocol):
    """One cluster's metrics. It answers from memory: pages wait for nothing. It asks nobody's rights: what is asked
    for was seen in a list that the caller may see."""

    def usage(self, cluster: str, of: Measured, names: Sequence[Name]) -> Mapping[Name, Usage]:
        """The use of each of these that is known, for the rows of one page."""

    def cumulative(
        self,
        cluster: str,
        of: Measured,
        names: Sequence[Name],
        *,
        metrics: Sequence[str],
        aggregations: Sequence[Aggregation],
    ) -> list[dict[str, Any]]:
        """The contract's `Metric` objects (section 8) over all of these: one for each metric and aggregation.
        Names may be many thousands."""

    def available(self, cluster: str) -> bool:
        """Whether there is a provider that works; without one only `errors` is asked."""

    def errors(self, cluster: str) -> list[dict[str, Any]]:
        """What a provider that should work says instead, as items of `errors`. None where there is none."""

    def looked_at(self, cluster: str) -> int:
        """Changes with each look: what was answered before then is old."""


class NoMetrics:
    """No provider: rows without metrics, lists with `cumulativeMetrics: []`."""

    def usage(self, cluster: str, of: Measured, names: Sequence[Name]) -> Mapping[Name, Usage]:
        return {}

    def cumulative(
        self,
        cluster: str,
        of: Measured,
        names: Sequence[Name],
        *,
        metrics: Sequence[str],
        aggregations: Sequence[Aggregation],
    ) -> list[dict[str, Any]]:
        return []

    def available(self, cluster: str) -> bool:
        return False

    def errors(self, cluster: str) -> list[dict[str, Any]]:
        return []

    def looked_at(self, cluster: str) -> int:
        return 0
