"""Which sources there are, by what is set."""

from pathlib import Path

import pytest

from ksnap.dashboard.metrics.providers import Provider, ProviderOptions, Providers
from ksnap.errors import InvalidInput
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection


@pytest.fixture
async def own() -> ClusterConnection:
    return await ClusterConnection.open(ClusterConfig("west", "https://10.0.0.1", AuthType.TOKEN))


@pytest.mark.parametrize(
    ("provider", "urls", "ids"),
    [
        ("auto", (), ["metrics.k8s.io", "kubelet"]),
        ("sidecar", ("https://p",), ["metrics.k8s.io", "prometheus", "kubelet"]),
        ("auto", ("east=https://p",), ["metrics.k8s.io", "kubelet"]),
        ("prometheus", ("https://p/{cluster}",), ["prometheus"]),
        ("kubelet", ("https://p",), ["kubelet"]),
        ("none", ("https://p",), []),
    ],
)
async def test_sources_by_setting(
    own: ClusterConnection, provider: Provider, urls: tuple[str, ...], ids: list[str]
) -> None:
    providers = Providers(ProviderOptions(provider, urls))
    assert [each.id for each in providers.sources(own)] == ids
    assert [each.id for each in providers.integrations(own)] == (["sidecar", *ids] if ids else [])
    await providers.close()
    await own.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (ProviderOptions(prometheus_urls=("prometheus:9090",)), "prometheus:9090"),
        (ProviderOptions(prometheus_urls=("https://u:secret@p",)), "without a password"),
        (ProviderOptions("prometheus"), "KSNAP_PROMETHEUS_URLS"),
        (ProviderOptions(prometheus_urls=("http://p",), prometheus_token_file=Path("/t")), "https"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(options: ProviderOptions, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Providers(options)
    assert told in f"{caught.value.details} {caught.value.hint}"
    assert "secret" not in f"{caught.value.message} {caught.value.details} {caught.value.hint}"
