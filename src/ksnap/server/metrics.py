"""Prometheus metrics of the server itself; rooms add their own to the same registry.

Labels are routes as declared (`/checkpoint/list`), never paths as asked for: strangers must not make series. The
dashboard's paths have the reference's metrics beside.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from ksnap.server.dashboard_metrics import COUNT, METHODS, DashboardMetrics

# From a list out of memory to a checkpoint of many gigabytes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class RequestMetrics:
    """Requests and their times, by route."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "ksnap_http_requests",
            "Requests answered, by method, route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ksnap_http_request_seconds",
            "Time from a request's first byte to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.dashboard = DashboardMetrics(self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        route = route or "unknown"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format. Blocking: it reads /proc."""
        # The library declares every counter as NAME_total; the reference's is called otherwise, as its samples are.
        return generate_latest(self.registry).replace(f"{COUNT}_total ".encode(), f"{COUNT} ".encode())
