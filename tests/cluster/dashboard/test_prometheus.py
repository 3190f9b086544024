"""Figures from a real Prometheus that scrapes the kubelets: taken up when it comes, missed when it goes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.cluster import unpacked
from dev.cluster.cache import Cache
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from tests.cluster.dashboard.client import account, open_dashboard, rule
from tests.cluster.dashboard.metered_pods import check_memory, is_measured, measuring_server, start_pods, until
from tests.parties.certificates import ServerCertificate, issue_certificate
from tests.parties.prometheus import running_prometheus
from tests.parties.server import RunningServer


@dataclass(frozen=True, slots=True)
class Place:
    """Where Prometheus will be."""

    folder: Path
    certificate: ServerCertificate
    port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return Place(folder, issue_certificate(folder), port)


@pytest.fixture(scope="module")
def server(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, place: Place) -> Iterator[RunningServer]:
    token = place.folder / "token"
    token.write_text("of no use to it, and sent all the same\n")
    yield from measuring_server(
        cluster,
        tmp_path_factory,
        KSNAP_METRICS_PROVIDER="prometheus",
        KSNAP_PROMETHEUS_URLS=f"dev=https://127.0.0.1:{place.port}",
        KSNAP_PROMETHEUS_CA_FILE=str(place.certificate.ca),
        KSNAP_PROMETHEUS_TOKEN_FILE=str(token),
        KSNAP_PROMETHEUS_MATCHERS='cluster="{cluster}"',
    )


@pytest.mark.thorough
@pytest.mark.timeout(300)
async def test_prometheus_comes_and_goes(
    server: RunningServer, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, place: Place
) -> None:
    start_pods(cluster, kubectl, namespace)
    program = unpacked.tool(Cache(read_settings().cache), "prometheus")
    rules = [rule(each, "list") for each in ("pods", "events", "nodes")]
    with account(kubectl, namespace, cluster_rules=rules) as token, ExitStack() as running:
        async with open_dashboard(server.url, token) as client:
            answer = await until(lambda: client.ok(f"/pod/{namespace}"), lambda said: said["errors"] != [])
            assert "Prometheus is unreachable" in answer["errors"][0]["ErrStatus"]["message"]
            assert answer["cumulativeMetrics"] == []

            running.enter_context(running_prometheus(place.folder, program, cluster, place.certificate, place.port))
            check_memory(await until(lambda: client.ok(f"/pod/{namespace}"), is_measured))
            nodes = await client.ok("/node")
            cpu, memory = nodes["cumulativeMetrics"]
            assert cpu["dataPoints"][-1]["y"] > 0
            assert memory["dataPoints"][-1]["y"] > 1 << 28
            listed = await client.as_token(server.token).ok("/integration")
            assert [(each["id"], each["state"]["connected"]) for each in listed["integrations"]] == [
                ("sidecar", True),
                ("prometheus", True),
            ]

            running.close()
            answer = await until(lambda: client.ok(f"/pod/{namespace}"), lambda said: said["errors"] != [])
            assert answer["cumulativeMetrics"] == []
