"""Figures of cpu and memory in lists, from the kubelets' summaries and from the real metrics-server."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from dev.cluster import metrics_server
from dev.cluster.cache import Cache
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from dev.cluster.workloads import webapp_pod
from tests.cluster.dashboard.client import Dashboard, account, configure, open_dashboard, rule
from tests.parties.server import RunningServer, running_server

MIB = 1 << 20
PODS = {"small": 16, "large": 80}
# A kubelet measures a new container within fifteen seconds, metrics-server needs two looks at it after that.
MEASURED_S = 90.0
CHECK_S = "1"


def _server(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, **settings: str) -> Iterator[RunningServer]:
    given = {"KSNAP_METRIC_CLIENT_CHECK_PERIOD_S": CHECK_S, **settings}
    with running_server(tmp_path_factory.mktemp("metrics") / "data", given) as server:
        kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
        configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
        yield server


@pytest.fixture(scope="module")
def by_choice(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that takes what there is: the kubelets' summaries, where nothing else is."""
    yield from _server(cluster, tmp_path_factory)


@pytest.fixture(scope="module")
def by_api(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One that takes metrics.k8s.io alone."""
    yield from _server(cluster, tmp_path_factory, KSNAP_METRICS_PROVIDER="metrics.k8s.io")


@pytest.fixture(scope="module")
def pods(cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str) -> str:
    """A namespace with a small pod and a large one."""
    image = cluster.images["webapp"]
    kubectl.apply(*(webapp_pod(name, module_namespace, image, memory_mb=mib, start_s=0) for name, mib in PODS.items()))
    kubectl.wait_ready(module_namespace, *PODS)
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


async def _until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], limit_s: float = MEASURED_S) -> Any:
    """What was answered when it held at last."""
    deadline = time.monotonic() + limit_s
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.5)
    return answer


def _memory(answer: Any) -> dict[str, int]:
    return {
        row["objectMeta"]["name"]: row["metrics"]["memoryUsage"] for row in answer["pods"] if row["metrics"] is not None
    }


def _measured(answer: Any) -> bool:
    """A kubelet that was too busy to answer is an error until the next minute."""
    return _memory(answer).keys() == PODS.keys() and answer["errors"] == []


async def test_rows_show_use_and_history(kubelets: Dashboard, pods: str) -> None:
    answer = await _until(lambda: kubelets.ok(f"/pod/{pods}"), _measured)
    for name, used in _memory(answer).items():
        assert PODS[name] * MIB < used < (PODS[name] + 60) * MIB
    metrics = answer["pods"][0]["metrics"]
    assert metrics["memoryUsageHistory"][-1]["value"] == metrics["memoryUsage"]
    assert metrics["cpuUsageHistory"][-1]["timestamp"].endswith(":00Z")
    assert answer["errors"] == []


async def test_cumulative_metrics_are_of_the_filtered_set(kubelets: Dashboard, pods: str) -> None:
    """Of all that match, and not of the page alone; single points only of a single resource."""
    answer = await _until(lambda: kubelets.ok(f"/pod/{pods}"), _measured)
    used = _memory(answer)
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


@pytest.mark.usefixtures("with_metrics_server")
@pytest.mark.timeout(240)
async def test_the_real_metrics_server_fails_and_recovers(
    by_api: RunningServer, kubectl: Kubectl, reader: str, pods: str
) -> None:
    """Without it lists go on, and say why there are no figures."""
    async with open_dashboard(by_api.url, reader) as client:
        answer = await _until(lambda: client.ok(f"/pod/{pods}"), _measured)
        for name, used in _memory(answer).items():
            assert PODS[name] * MIB < used < (PODS[name] + 60) * MIB
        assert (await client.ok("/integration/metrics.k8s.io/state"))["connected"]

        kubectl("scale", "--replicas=0", *DEPLOYMENT)
        answer = await _until(lambda: client.ok(f"/pod/{pods}"), lambda said: said["cumulativeMetrics"] == [])
        assert [each["metrics"] for each in answer["pods"]] == [None, None]
        assert [each["ErrStatus"]["reason"] for each in answer["errors"]] == ["InternalError"], answer["errors"]
        await _until(lambda: client.ok("/integration/sidecar/state"), lambda state: not state["connected"])

        kubectl("scale", "--replicas=1", *DEPLOYMENT)
        answer = await _until(lambda: client.ok(f"/pod/{pods}"), lambda said: said["cumulativeMetrics"] != [])
        assert answer["errors"] == []


@pytest.mark.usefixtures("with_metrics_server")
@pytest.mark.timeout(240)
async def test_the_kubelets_take_over(by_choice: RunningServer, kubectl: Kubectl, reader: str, pods: str) -> None:
    """From a metrics-server that is installed and does not answer."""
    kubectl("scale", "--replicas=0", *DEPLOYMENT)
    async with open_dashboard(by_choice.url, reader) as client:
        await _until(lambda: client.ok("/integration/metrics.k8s.io/state"), lambda state: not state["connected"])
        await _until(lambda: client.ok(f"/pod/{pods}"), _measured)
        assert (await client.ok("/integration/sidecar/state"))["connected"]
