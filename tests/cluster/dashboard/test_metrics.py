"""Figures of cpu and memory in lists, from the kubelets' summaries and from the real metrics-server."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dev.cluster import metrics_server
from dev.cluster.cache import Cache
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from tests.cluster.dashboard.client import Dashboard, account, configure, open_dashboard, rule
from tests.cluster.dashboard.metered_pods import (
    PODS,
    check_memory,
    is_measured,
    measuring_server,
    memory_of,
    start_pods,
    until,
)
from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import Answer, Fault, fault_proxy
from tests.parties.server import RunningServer


@pytest.fixture(scope="module")
def by_choice(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that takes what there is: the kubelets' summaries, where nothing else is."""
    yield from measuring_server(cluster, tmp_path_factory)


@pytest.fixture(scope="module")
def by_api(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One that takes metrics.k8s.io alone."""
    yield from measuring_server(cluster, tmp_path_factory, KSNAP_METRICS_PROVIDER="metrics.k8s.io")


@pytest.fixture(scope="module")
def pods(cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str) -> str:
    """A namespace with a small pod and a large one."""
    start_pods(cluster, kubectl, module_namespace)
    return module_namespace


@pytest.fixture(scope="module")
def reader(kubectl: Kubectl, module_namespace: str) -> Iterator[str]:
    """The token of one who may list what is listed here."""
    with account(kubectl, module_namespace, rules=[rule("pods", "list"), rule("events", "list")]) as token:
        yield token


@pytest.fixture
async def kubelets(by_choice: RunningServer, reader: str) -> AsyncIterator[Dashboard]:
    async with open_dashboard(by_choice.url, reader) as client:
        yield client


async def test_rows_show_use_and_history(kubelets: Dashboard, pods: str) -> None:
    answer = await until(lambda: kubelets.ok(f"/pod/{pods}"), is_measured)
    check_memory(answer)
    metrics = answer["pods"][0]["metrics"]
    assert metrics["memoryUsageHistory"][-1]["value"] == metrics["memoryUsage"]
    assert metrics["cpuUsageHistory"][-1]["timestamp"].endswith(":00Z")
    assert answer["errors"] == []


async def test_cumulative_metrics_are_of_the_filtered_set(kubelets: Dashboard, pods: str) -> None:
    """Of all that match, and not of the page alone; single points only of a single resource."""
    answer = await until(lambda: kubelets.ok(f"/pod/{pods}"), is_measured)
    used = memory_of(answer)
    cpu, memory = answer["cumulativeMetrics"]
    assert (cpu["metricName"], memory["metricName"], memory["aggregation"]) == ("cpu/usage_rate", "memory/usage", "sum")
    assert (memory["dataPoints"][-1]["y"], memory["metricPoints"]) == (sum(used.values()), [])
    page = await kubelets.ok(f"/pod/{pods}", itemsPerPage=1, page=2)
    assert page["cumulativeMetrics"] == answer["cumulativeMetrics"]
    chosen = await kubelets.ok(f"/pod/{pods}", metricNames="memory/usage", aggregations="max,min")
    assert [(each["aggregation"], each["dataPoints"][-1]["y"]) for each in chosen["cumulativeMetrics"]] == [
        ("max", used["large"]),
        ("min", used["small"]),
    ]
    one = (await kubelets.ok(f"/pod/{pods}", filterBy="name,large"))["cumulativeMetrics"][1]
    assert one["metricPoints"][-1]["value"] == one["dataPoints"][-1]["y"] == used["large"]
    nothing = await kubelets.ok(f"/pod/{pods}", filterBy="name,nobody")
    assert nothing["cumulativeMetrics"] == []


async def test_states_of_integrations(by_choice: RunningServer, kubelets: Dashboard) -> None:
    anyone = kubelets.as_token("")
    for name in ("sidecar", "kubelet"):
        state = await anyone.ok(f"/integration/{name}/state")
        assert (state["connected"], state["error"]) == (True, None), state
        assert state["latencyMs"] >= 0
        again = await anyone.ok(f"/integration/{name}/state")
        assert again == state  # out of five seconds' memory
    assert (await anyone.get("/integration/heapster/state")).status == 404
    assert (await anyone.get("/integration")).status == 401
    assert (await kubelets.as_token("nonsense").get("/integration")).status == 401
    admin = kubelets.as_token(by_choice.token)
    listed = (await admin.ok("/integration"))["integrations"]
    assert [each["id"] for each in listed] == ["sidecar", "metrics.k8s.io", "kubelet"]
    assert (await admin.below("/clusters/dev/api/v1").ok("/integration/kubelet/state"))["connected"]


async def test_what_is_wrong_is_told_to_logins_alone(by_api: RunningServer) -> None:
    """Without a token nobody learns how the cluster is reached."""
    async with open_dashboard(by_api.url, by_api.token) as client:
        terse = await client.as_token("").ok("/integration/sidecar/state")
        full = await client.ok("/integration/sidecar/state")
    assert (terse["connected"], full["connected"]) == (False, False)
    assert terse["error"]["ErrStatus"]["message"] == "The cluster has no metrics API"
    assert "Install metrics-server" in full["error"]["ErrStatus"]["message"]


async def test_no_provider_is_no_error(by_api: RunningServer, reader: str, pods: str) -> None:
    async with open_dashboard(by_api.url, reader) as client:
        answer = await client.ok(f"/pod/{pods}")
    assert (answer["cumulativeMetrics"], answer["errors"], len(answer["pods"])) == ([], [], len(PODS))


@pytest.fixture(scope="module")
def with_metrics_server(cluster: ClusterInfo, pods: str) -> Iterator[None]:
    metrics_server.ensure(cluster, Cache(read_settings().cache))
    try:
        yield
    finally:
        metrics_server.remove(cluster)


DEPLOYMENT = ("--namespace=kube-system", "deployment/metrics-server")


@pytest.mark.thorough  # it is built first, for some minutes
@pytest.mark.usefixtures("with_metrics_server")
@pytest.mark.timeout(600)
async def test_the_real_metrics_server_fails_and_recovers(
    by_api: RunningServer, kubectl: Kubectl, reader: str, pods: str
) -> None:
    """Without it lists go on, and say why there are no figures."""
    async with open_dashboard(by_api.url, reader) as client:
        answer = await until(lambda: client.ok(f"/pod/{pods}"), is_measured)
        check_memory(answer)
        assert (await client.ok("/integration/metrics.k8s.io/state"))["connected"]

        kubectl("scale", "--replicas=0", *DEPLOYMENT)
        answer = await until(lambda: client.ok(f"/pod/{pods}"), lambda said: said["cumulativeMetrics"] == [])
        assert [each["metrics"] for each in answer["pods"]] == [None, None]
        assert [each["ErrStatus"]["reason"] for each in answer["errors"]] == ["InternalError"], answer["errors"]
        await until(lambda: client.ok("/integration/sidecar/state"), lambda state: not state["connected"])

        kubectl("scale", "--replicas=1", *DEPLOYMENT)
        answer = await until(lambda: client.ok(f"/pod/{pods}"), lambda said: said["cumulativeMetrics"] != [])
        assert answer["errors"] == []


@pytest.mark.timeout(240)
async def test_the_kubelets_take_over(
    by_choice: RunningServer, cluster: ClusterInfo, kubectl: Kubectl, pods: str, tmp_path: Path
) -> None:
    """From a metrics API that is registered and does not answer; and when they do not either, lists say so."""
    rules = [rule(each, "list", "watch") for each in ("pods", "events", "namespaces", "nodes")]
    trust = await asyncio.to_thread(lambda: ssl.create_default_context(cafile=cluster.ca_file))
    certificate = issue_certificate(tmp_path)
    with account(kubectl, pods, cluster_rules=[*rules, rule("nodes/proxy", "get")]) as token:
        async with (
            fault_proxy(cluster.api_server, tls=certificate, upstream_tls=trust) as proxy,
            open_dashboard(by_choice.url, token) as client,
        ):
            proxy.add(Fault("GET", r"^/apis/metrics\.k8s\.io", Answer(503), times=None))
            address = {"api_server_url": f"https://{proxy.host}", "ca_cert": certificate.ca_pem}
            await asyncio.to_thread(configure, by_choice, "proxied", token=token, **address)
            there = client.below("/clusters/proxied/api/v1")
            await until(lambda: there.ok(f"/pod/{pods}"), is_measured)
            assert (await there.ok("/integration/sidecar/state"))["connected"]
            assert not (await there.ok("/integration/metrics.k8s.io/state"))["connected"]

            proxy.add(Fault("GET", r"/proxy/stats/summary", Answer(503), times=None))
            answer = await until(lambda: there.ok(f"/pod/{pods}"), lambda said: said["cumulativeMetrics"] == [])
            assert [each["metrics"] for each in answer["pods"]] == [None, None]
            assert answer["errors"] != []
    async with open_dashboard(by_choice.url, by_choice.token) as client:
        await client.below("").call("DELETE", "/config/clusters/delete", {"name": "proxied"})
