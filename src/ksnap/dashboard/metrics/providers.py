"""Which sources a cluster has, as set, in the order in which they are tried; and the same as integrations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ksnap.dashboard.metrics.sources import ActiveSource, Kubelets, MetricsApi, PrometheusSource, Source
from ksnap.errors import InvalidInput
from ksnap.kube.connection import ClusterConnection
from ksnap.prometheus.client import Access, Prometheus

Provider = Literal["auto", "sidecar", "metrics.k8s.io", "prometheus", "kubelet", "none"]
_ENTRY = re.compile(r"(?:(?P<cluster>[a-z0-9][a-z0-9.-]*)=)?(?P<url>https?://[^/@\s]+(?:/\S*)?)")
_CLUSTER = "{cluster}"


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What is set."""

    provider: Provider = "auto"
    """One alone, or `auto` (the Dashboard's word: `sidecar`): the first that works."""
    prometheus_urls: Sequence[str] = ()
    """`URL` for all clusters, `NAME=URL` for one. `{cluster}` stands for the cluster's name."""
    prometheus_matchers: str = ""
    """Label matchers for each expression, with `{cluster}` as well."""
    prometheus_ca_file: Path | None = None
    prometheus_token_file: Path | None = None


@dataclass(slots=True)
class Providers:
    """Makes sources; owns what they share, and is closed by its owner."""

    options: ProviderOptions
    _urls: dict[str, str] = field(default_factory=dict)
    """By cluster; the empty name stands for all others."""
    _prometheus: dict[Access, Prometheus] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.options.prometheus_urls:
            found = _ENTRY.fullmatch(each)
            if found is None:
                raise InvalidInput(
                    "The address of Prometheus is not understood",
                    details=each.rpartition("@")[2][:200],
                    hint="Write KSNAP_PROMETHEUS_URLS as URL or CLUSTER=URL, several by commas, without a password",
                )
            self._urls[found["cluster"] or ""] = found["url"]
        if self.options.provider == "prometheus" and not self._urls:
            raise InvalidInput(
                "Prometheus is to be the source of metrics, but its address is not set",
                hint="Set KSNAP_PROMETHEUS_URLS",
            )
        for url in self._urls.values():
            self._client(url)  # says at the start what cannot work

    def sources(self, own: ClusterConnection) -> tuple[Source, ...]:
        """Of one cluster, the preferred first: the API that Kubernetes itself goes by, then what somebody has set up,
        then what asks each node."""
        found: list[Source] = [MetricsApi(own), Kubelets(own)]
        url = self._urls.get(own.name, self._urls.get("", ""))
        if url:
            client = self._client(url.replace(_CLUSTER, own.name))
            matchers = self.options.prometheus_matchers.replace(_CLUSTER, own.name)
            found.insert(1, PrometheusSource(client, matchers))
        if self.options.provider in {"auto", "sidecar"}:
            return tuple(found)
        return tuple(each for each in found if each.id == self.options.provider)

    def integrations(self, own: ClusterConnection) -> Sequence[Source | ActiveSource]:
        """The source in use, and each by itself."""
        sources = self.sources(own)
        return (ActiveSource(sources), *sources) if sources else ()

    async def close(self) -> None:
        for each in self._prometheus.values():
            await each.close()

    def _client(self, url: str) -> Prometheus:
        access = Access(url, self.options.prometheus_ca_file, self.options.prometheus_token_file)
        if access not in self._prometheus:
            self._prometheus[access] = Prometheus(access)
        return self._prometheus[access]
