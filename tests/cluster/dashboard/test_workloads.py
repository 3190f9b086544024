"""Thirty objects of each workload: lists and details carry what `kubectl get -o json` says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account
from tests.cluster.dashboard.workload_answers import detail, row
from tests.cluster.dashboard.workload_objects import KINDS, MANY, MARK, make
from tests.cluster.namespaces import own_namespace

# The first test of a module waits for what all of them look at.
pytestmark = pytest.mark.timeout(180)

Json = dict[str, Any]
ITEMS = {
    "deployment": "deployments",
    "replicaset": "replicaSets",
    "replicationcontroller": "replicationControllers",
    "daemonset": "daemonSets",
    "statefulset": "statefulSets",
    "job": "jobs",
    "cronjob": "items",
    "horizontalpodautoscaler": "horizontalpodautoscalers",
    "poddisruptionbudget": "items",
}
PHASES = ("running", "pending", "failed", "succeeded")
FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def thirty(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with thirty of each."""
    with own_namespace(kubectl) as namespace:
        make(kubectl, cluster, namespace)
        yield namespace


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, thirty: str) -> Iterator[str]:
    with account(kubectl, thirty, cluster_rules=[READ_ALL]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    """One who may see everything."""
    return dashboard.as_token(token)


async def fresh(reader: Dashboard, path: str) -> Any:
    """What there is now, whatever the caches have heard of."""
    answer = await reader.call("GET", path, headers=FRESH)
    assert answer.status == 200, answer
    return answer.body


def wanted(kubectl: Kubectl, namespace: str, kind: str) -> dict[str, Json]:
    """What was made of a kind (a Deployment's sets carry no mark), by name."""
    found = kubectl("-n", namespace, "get", kind, "--selector", MARK, "--output=json")
    objects = {each["metadata"]["name"]: each for each in json.loads(found)["items"]}
    assert len(objects) == MANY
    return objects


def split(given: Json) -> tuple[Json, Json]:
    """A row, and what it says of pods by their phases: the rest of PodInfo stays."""
    key = "pods" if "pods" in given else "podInfo"
    if key not in given:
        return given, {}
    info = given[key]
    counted = {name: info[name] for name in (*PHASES, "warnings")}
    return {**given, key: {name: info[name] for name in info if name not in counted}}, counted


@pytest.mark.parametrize("kind", KINDS)
async def test_lists(reader: Dashboard, kubectl: Kubectl, thirty: str, kind: str) -> None:
    query = {"filterBy": f"name,{kind}-", "sortBy": "a,name"}
    answer = await reader.call("GET", f"/{kind}/{thirty}", headers=FRESH, query=query)
    objects = wanted(kubectl, thirty, kind)
    rows = {each["objectMeta"]["name"]: split(each)[0] for each in answer.body[ITEMS[kind]]}
    expected = {name: row(kind, each) for name, each in objects.items()}
    assert [each for name, each in rows.items() if name in expected] == list(expected.values())
    assert answer.body["errors"] == []
    assert answer.body.get("cumulativeMetrics", []) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_details(reader: Dashboard, kubectl: Kubectl, thirty: str, kind: str) -> None:
    objects = wanted(kubectl, thirty, kind)
    for name, each in objects.items():
        found, _ = split(await reader.ok(f"/{kind}/{thirty}/{name}"))
        scaled = found.pop("horizontalPodAutoscalerList", None)
        assert (scaled is not None) is (kind == "replicaset")
        assert found == {**row(kind, each), **detail(kind, each), "ownerChain": [], "errors": []}


@pytest.mark.parametrize("kind", KINDS)
async def test_missing_ones(reader: Dashboard, thirty: str, kind: str) -> None:
    assert (await reader.get(f"/{kind}/{thirty}/none")).status == 404
    if kind not in {"horizontalpodautoscaler", "poddisruptionbudget"}:
        assert (await reader.get(f"/{kind}/{thirty}/none/event")).status == 404


async def test_pods_are_counted_by_their_controller(reader: Dashboard, thirty: str) -> None:
    for kind, name, counted in (
        ("deployment", "deployment-00", {"running": 2}),
        ("deployment", "deployment-01", {"pending": 1}),
        ("replicaset", "replicaset-00", {"running": 1}),
        ("job", "job-00", {"succeeded": 1}),
        ("job", "job-01", {"failed": 1}),
    ):
        in_list = (await fresh(reader, f"/{kind}/{thirty}?filterBy=name,{name}"))[ITEMS[kind]]
        in_detail = await fresh(reader, f"/{kind}/{thirty}/{name}")
        for found in (in_detail, *(each for each in in_list if each["objectMeta"]["name"] == name)):
            _, info = split(found)
            assert {key: info[key] for key in PHASES if info[key]} == counted, (kind, name)


async def test_status_counts_the_whole_list(reader: Dashboard, thirty: str) -> None:
    """A pod whose image cannot be pulled is pending, and failed once there is a warning about it."""
    for kind, counted in (
        ("deployment", {"running": MANY - 1, "failed": 1}),
        ("replicaset", {"running": MANY + MANY - 1, "failed": 1}),
        ("statefulset", {"running": MANY}),
        ("daemonset", {"running": MANY}),
        ("replicationcontroller", {"running": MANY}),
        ("job", {"pending": MANY - 2, "failed": 1, "succeeded": 1}),
        ("cronjob", {"running": MANY // 2, "failed": MANY // 2}),
    ):
        answer = await fresh(reader, f"/{kind}/{thirty}?filterBy=name,nothing-like-it")
        assert answer["listMeta"] == {"totalItems": 0}
        assert answer["status"] == {"running": 0, "pending": 0, "failed": 0, "succeeded": 0, **counted}, kind


async def test_warnings_say_what_is_wrong(reader: Dashboard, thirty: str) -> None:
    for found in (
        (await fresh(reader, f"/deployment/{thirty}/deployment-01"))["pods"],
        (await reader.ok(f"/deployment/{thirty}", filterBy="name,deployment-01"))["deployments"][0]["pods"],
    ):
        reasons = {each["reason"] for each in found["warnings"]}
        assert reasons
        assert all(set(each) == {"message", "reason", "type"} for each in found["warnings"])
    assert (await reader.ok(f"/deployment/{thirty}/deployment-00"))["pods"]["warnings"] == []


async def test_pages_and_orders(reader: Dashboard, thirty: str) -> None:
    pages = [
        await reader.ok(f"/statefulset/{thirty}", itemsPerPage=7, page=page, sortBy="d,name") for page in range(1, 7)
    ]
    names = [each["objectMeta"]["name"] for page in pages for each in page["statefulSets"]]
    assert names == [f"statefulset-{number:02}" for number in reversed(range(MANY))]
    assert {page["listMeta"]["totalItems"] for page in pages} == {MANY}
    unknown = await reader.get(f"/cronjob/{thirty}", filterBy="schedule,x")
    assert (unknown.status, "creationTimestamp" in unknown.text) == (400, True)
