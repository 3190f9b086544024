"""Prometheus metrics of the dashboard's routes: the reference's names, labels, units and buckets (contract, section 6).

Latencies are of the whole answer, to the end of a stream. `resource` is the first segment of the route as declared, and
`client` the product token of User-Agent, of which only so many are told apart: strangers must not make series.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ksnap.server.sliding_summary import SlidingSummary

COUNT, LATENCIES, SUMMARY = (
    "apiserver_request_count",
    "apiserver_request_latencies",
    "apiserver_request_latencies_summary",
)
MICROSECONDS = (125_000.0, 250_000.0, 500_000.0, 1e6, 2e6, 4e6, 8e6)
# A page out of memory takes some milliseconds; a followed log an hour.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
UNKNOWN, OTHER = "unknown", "other"
CLIENTS = 100
_PRODUCT = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PREFIX = re.compile(r"^(/clusters/\{cluster\})?/api/v1/|^/")


@dataclass(slots=True)
class DashboardMetrics:
    """Of one server process."""

    registry: CollectorRegistry
    _clients: dict[str, str] = field(default_factory=dict)
    _resources: dict[str, str] = field(default_factory=dict)
    _series: "_Series" = field(init=False)
    _microseconds: Histogram = field(init=False)
    _seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self._series = _Series()
        self.registry.register(self._series)
        labels = ["verb", "resource"]
        self._microseconds = Histogram(
            LATENCIES,
            "Time of whole answers in microseconds, by verb and resource.",
            labels,
            buckets=MICROSECONDS,
            registry=self.registry,
        )
        self._seconds = Histogram(
            "dashboard_http_request_duration_seconds",
            "Time of whole answers on the dashboard's paths, by verb and resource.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )

    def observe(
        self, *, method: str, route: str, status: int, content_type: str, user_agent: str, seconds: float
    ) -> None:
        """One answered request; `route` is the path as declared, empty where none matched."""
        verb = method if method in METHODS else OTHER
        # A path that is known by other methods alone is not a resource's either.
        resource = UNKNOWN if status == 405 else self._resource(route)
        microseconds = seconds * 1e6
        self._series.add(verb, resource, (self._client(user_agent), content_type, str(status)), microseconds)
        self._microseconds.labels(verb, resource).observe(microseconds)
        self._seconds.labels(verb, resource).observe(seconds)

    def _resource(self, route: str) -> str:
        known = self._resources.get(route)
        if known is None:
            known = self._resources[route] = resource_of(route)
        return known

    def _client(self, user_agent: str) -> str:
        product = product_of(user_agent)
        known = self._clients.get(product)
        if known is None:
            if len(self._clients) >= CLIENTS:
                return OTHER
            known = self._clients[product] = product
        return known


def resource_of(route: str) -> str:
    """The first segment of a route below /api/v1; the last one where the first is any kind's (`{kind}`)."""
    segments = [each for each in _PREFIX.sub("", route, count=1).split("/") if each]
    fixed = [each for each in segments if not each.startswith("{")]
    if not fixed:
        return UNKNOWN
    return fixed[0] if segments[0] == fixed[0] else fixed[-1]


def product_of(user_agent: str) -> str:
    """The name of the first product of a User-Agent (RFC 9110, 10.1.5), without its version."""
    if not user_agent:
        return UNKNOWN
    found = _PRODUCT.match(user_agent)
    return found[0] if found else OTHER


class _Series(Collector):
    """The counter and the summary, whose exact names and quantiles the client library does not make."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._summaries: dict[tuple[str, str], SlidingSummary] = {}

    def add(self, verb: str, resource: str, more: tuple[str, str, str], microseconds: float) -> None:
        key = (verb, resource, *more)
        self._counts[key] = self._counts.get(key, 0) + 1
        summary = self._summaries.get((verb, resource))
        if summary is None:
            summary = self._summaries[verb, resource] = SlidingSummary()
        summary.observe(microseconds, time.monotonic())

    def collect(self) -> Iterator[Metric]:
        """Called by scrapes, from another thread: over copies, which are made in one step."""
        names = ("verb", "resource", "client", "contentType", "code")
        counter = Metric(COUNT, "Requests answered on the dashboard's paths.", "counter")
        for values, count in list(self._counts.items()):
            counter.add_sample(COUNT, dict(zip(names, values, strict=True)), count)
        yield counter
        summary = Metric(SUMMARY, "Time of whole answers in microseconds; quantiles of the last hour.", "summary")
        now = time.monotonic()
        for (verb, resource), series in list(self._summaries.items()):
            labels = {"verb": verb, "resource": resource}
            for quantile, value in series.quantiles(now).items():
                summary.add_sample(SUMMARY, {**labels, "quantile": str(quantile)}, value)
            summary.add_sample(f"{SUMMARY}_sum", labels, series.sum)
            summary.add_sample(f"{SUMMARY}_count", labels, series.count)
        yield summary
