"""Where readings may come from: each is an integration whose health can be asked for.

`Absent` tells "there is none here" from "it does not work": only the latter is a trouble worth a word in each list.
"""

from dataclasses import dataclass
from typing import Protocol

from ksnap.errors import ClusterConnectionFailed, KsnapError, NotFound
from ksnap.kube import kubelet_summary, metrics_api
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import ClusterUnreachable
from ksnap.model.usage import Reading
from ksnap.prometheus import usage as prometheus_usage
from ksnap.prometheus.client import Prometheus


class Absent(NotFound):
    """The cluster has no such source, or ksnap was not given the right to it."""


class Source(Protocol):
    @property
    def id(self) -> str: ...

    async def check(self) -> None:
        """Return if it works, else raise why not; Absent if there is none."""

    async def read(self) -> Reading:
        """The present use of everything."""


@dataclass(frozen=True, slots=True)
class MetricsApi:
    """metrics.k8s.io."""

    connection: ClusterConnection
    id: str = "metrics.k8s.io"

    async def check(self) -> None:
        try:
            await metrics_api.check(self.connection)
        except NotFound as error:
            raise Absent(
                "The cluster has no metrics API", details=error.details, hint="Install metrics-server there"
            ) from error

    async def read(self) -> Reading:
        return await metrics_api.read(self.connection)


@dataclass(frozen=True, slots=True)
class Kubelets:
    """The kubelets' summaries."""

    connection: ClusterConnection
    id: str = "kubelet"

    async def check(self) -> None:
        try:
            await kubelet_summary.check(self.connection)
        except ClusterUnreachable:
            raise
        except ClusterConnectionFailed as error:  # no right, and nobody promised one
            raise Absent(
                "ksnap may not read the kubelets' summaries",
                details=error.details,
                hint="Grant get nodes/proxy (the chart's dashboard.kubeletMetrics), or install metrics-server",
            ) from error

    async def read(self) -> Reading:
        return await kubelet_summary.read(self.connection)


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """A Prometheus that scrapes the cluster's kubelets."""

    prometheus: Prometheus
    matchers: str
    id: str = "prometheus"

    async def check(self) -> None:
        await prometheus_usage.check(self.prometheus)

    async def read(self) -> Reading:
        return await prometheus_usage.read(self.prometheus, self.matchers)


@dataclass(frozen=True, slots=True)
class ActiveSource:
    """The first of a cluster's sources that works: what the Dashboard calls its metrics provider, `sidecar`."""

    sources: tuple[Source, ...]
    id: str = "sidecar"

    async def check(self) -> None:
        failures: list[KsnapError] = []
        for each in self.sources:
            try:
                await each.check()
            except KsnapError as error:
                failures.append(error)
            else:
                return
        raise next((each for each in failures if not isinstance(each, Absent)), failures[0])
