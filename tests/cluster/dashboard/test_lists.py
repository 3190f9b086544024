"""Lists out of the watch cache, against `kubectl get -o json` of the real cluster."""

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, configure, rule
from tests.cluster.namespaces import own_namespace
from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import Answer, CutAnswer, Fault, fault_proxy
from tests.parties.server import RunningServer

PODS = 30
WAIT_S = 30.0
UNPULLED = {"ErrImagePull", "ImagePullBackOff"}


def _pod(name: str, cluster: ClusterInfo, number: int) -> dict[str, Any]:
    """A few that run, most that wait for a scheduler that there is not, one that cannot pull."""
    waits = {"schedulerName": "nobody"} if number % 10 else {}
    pause = cluster.images["pause"]
    image = f"{pause.partition('/')[0]}/not/there:1" if number == 20 else pause
    resources = {"requests": {"cpu": f"{number}m", "memory": "1Mi"}, "limits": {"memory": "16Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "lists", "number": str(number)},
            "annotations": {"example.dev/number": str(number)},
        },
        "spec": {
            **waits,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": image, "resources": resources}],
        },
    }


@pytest.fixture(scope="module")
def all_seeing(kubectl: Kubectl, crowd: str) -> Iterator[str]:
    """The token of one who may list everything that is listed here."""
    kinds = ("pods", "events", "configmaps")
    with account(kubectl, crowd, cluster_rules=[rule(each, "list") for each in kinds]) as token:
        yield token


@pytest.fixture
async def lists(dashboard: Dashboard, all_seeing: str) -> Dashboard:
    """Its client."""
    return dashboard.as_token(all_seeing)


@pytest.fixture(scope="module")
def crowd(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with thirty pods."""
    with own_namespace(kubectl) as namespace:
        pods = [_pod(f"pod-{number:02}", cluster, number) for number in range(PODS)]
        for each in pods:
            each["metadata"]["namespace"] = namespace
        kubectl.apply(*pods)
        kubectl.wait_ready(namespace, "pod-00", "pod-10")
        yield namespace


async def test_pods_are_as_kubectl_says(lists: Dashboard, kubectl: Kubectl, crowd: str) -> None:
    found = await lists.call("GET", f"/pod/{crowd}", headers={"Cache-Control": "no-cache"})
    expected = json.loads(kubectl("-n", crowd, "get", "pods", "-o", "json"))["items"]
    assert found.status == 200
    assert found.body["errors"] == []
    assert found.body["cumulativeMetrics"] == []
    assert found.body["listMeta"] == {"totalItems": PODS}
    rows = {each["objectMeta"]["name"]: each for each in found.body["pods"]}
    assert list(rows) == sorted(each["metadata"]["name"] for each in expected)
    for each in expected:
        _compare(rows[each["metadata"]["name"]], each)


def _compare(row: dict[str, Any], pod: dict[str, Any]) -> None:
    metadata, spec, status = pod["metadata"], pod["spec"], pod["status"]
    meta = row["objectMeta"]
    for field in ("name", "namespace", "uid", "labels", "annotations", "creationTimestamp"):
        assert meta[field] == metadata[field]
    assert "ownerReferences" not in meta
    assert row["typeMeta"] == {"kind": "pod"}
    assert row["nodeName"] == spec.get("nodeName", "")
    assert row["containerImages"] == [each["image"] for each in spec["containers"]]
    number = int(metadata["labels"]["number"])
    assert row["allocatedResources"] == {
        "cpuRequests": number,
        "cpuLimits": 0,
        "memoryRequests": 1 << 20,
        "memoryLimits": 16 << 20,
        "gpuRequests": [],
        "gpuLimits": [],
    }
    statuses = status.get("containerStatuses", [])
    assert row["restartCount"] == sum(each["restartCount"] for each in statuses)
    assert [(each["name"], each["ready"]) for each in row["containerStatuses"]] == [
        (each["name"], each["ready"]) for each in statuses
    ]
    if status["phase"] == "Running" or not spec.get("nodeName"):
        assert row["status"] == status["phase"]


async def test_a_pod_that_cannot_pull_has_warnings_and_counts_as_failed(
    lists: Dashboard, kubectl: Kubectl, crowd: str
) -> None:
    _wait_until_it_cannot_pull(kubectl, crowd)
    found = (await lists.call("GET", f"/pod/{crowd}?filterBy=name,pod-20", headers={"Cache-Control": "no-cache"})).body
    assert found["listMeta"] == {"totalItems": 1}
    row = found["pods"][0]
    assert row["status"] in UNPULLED
    assert row["containerStatuses"] == [{"name": "main", "state": "Waiting", "ready": False}]
    reasons = [each["reason"] for each in row["warnings"]]
    assert "Failed" in reasons
    assert len(reasons) == len(set(reasons))
    assert all(set(each) == {"message", "reason", "type"} for each in row["warnings"])
    # The filter does not touch the counts.
    waiting = PODS - 3
    assert found["status"] == {"running": 2, "pending": waiting, "failed": 1, "succeeded": 0, "terminating": 0}


def _wait_until_it_cannot_pull(kubectl: Kubectl, namespace: str) -> None:
    """And until the kubelet has told why."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pod = kubectl.get(namespace, "pod", "pod-20")
        waiting = [each["state"].get("waiting", {}) for each in pod["status"].get("containerStatuses", [])]
        events = json.loads(kubectl("-n", namespace, "get", "events", "-o", "json"))["items"]
        told = [each for each in events if each["involvedObject"]["uid"] == pod["metadata"]["uid"]]
        if waiting and waiting[0].get("reason") in UNPULLED and any(each["type"] == "Warning" for each in told):
            return
    raise AssertionError("no warning about a pod that cannot pull its image")


async def test_selection(lists: Dashboard, crowd: str) -> None:
    path = f"/pod/{crowd}"
    names = [f"pod-{number:02}" for number in range(PODS)]

    async def of(**query: str | int) -> list[str]:
        return [each["objectMeta"]["name"] for each in (await lists.ok(path, **query))["pods"]]

    assert await of(sortBy="d,name", itemsPerPage=4, page=2) == names[::-1][4:8]
    assert await of(filterBy="name,pod-1", sortBy="a,name") == names[10:20]
    assert await of(itemsPerPage=10, page=4) == []
    assert await of(itemsPerPage=9223372036854775807, page=3) == []
    assert await of(itemsPerPage=0, page=1) == []
    assert await of(filterBy="name,a,b") == []
    assert (await lists.ok(path, itemsPerPage=3, page=1))["listMeta"] == {"totalItems": PODS}
    created = (await lists.ok(path))["pods"][0]["objectMeta"]["creationTimestamp"]
    assert "pod-00" in await of(filterBy=f"creationTimestamp,{created}")
    repeated = await lists.get(f"{path}?filterBy=name,1&filterBy=name,pod-2")
    assert [each["objectMeta"]["name"] for each in repeated.body["pods"]] == ["pod-21"]


async def test_what_is_not_understood(lists: Dashboard, crowd: str) -> None:
    for query in ("filterBy=creationTimestamp,x", "filterBy=name", "filterBy=color,red", "page=x", "sortBy=name"):
        answer = await lists.get(f"/pod/{crowd}?{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8"), query
    ignored = await lists.get(f"/pod/{crowd}?sortBy=d,color")
    assert ignored.status == 200
    assert ignored.headers["Warning"].startswith("299 ksnap ")


async def test_namespaces_of_a_list(lists: Dashboard, kubectl: Kubectl, crowd: str) -> None:
    with own_namespace(kubectl) as other:
        some = await lists.ok(f"/configmap/{crowd},%20{other}")
        assert {each["objectMeta"]["namespace"] for each in some["items"]} == {crowd, other}
        everything = await lists.ok("/configmap")
        assert {crowd, other, "kube-system"} <= {each["objectMeta"]["namespace"] for each in everything["items"]}
        assert (await lists.ok("/configmap/%20"))["listMeta"] == everything["listMeta"]


async def test_a_change_is_there_at_once_for_who_asks_for_it(lists: Dashboard, kubectl: Kubectl, crowd: str) -> None:
    fresh = {"Cache-Control": "no-cache"}
    await lists.ok(f"/configmap/{crowd}")
    for number in range(5):
        kubectl("-n", crowd, "create", "configmap", f"new-{number}", "--from-literal=key=hidden")
        found = (await lists.call("GET", f"/configmap/{crowd}", headers=fresh)).body["items"]
        assert f"new-{number}" in [each["objectMeta"]["name"] for each in found]
    kubectl("-n", crowd, "delete", "configmap", "new-0")
    found = (await lists.call("GET", f"/configmap/{crowd}", headers=fresh)).body["items"]
    assert "new-0" not in [each["objectMeta"]["name"] for each in found]


async def test_events(lists: Dashboard, kubectl: Kubectl, crowd: str) -> None:
    answer = await lists.call("GET", f"/event/{crowd}?filterBy=reason,Scheduled", headers={"Cache-Control": "no-cache"})
    expected = {
        each["metadata"]["name"]: each
        for each in json.loads(kubectl("-n", crowd, "get", "events", "-o", "json"))["items"]
        if each["reason"] == "Scheduled"
    }
    rows = {each["objectMeta"]["name"]: each for each in answer.body["events"]}
    assert set(rows) == set(expected)
    assert rows
    for name, row in rows.items():
        event = expected[name]
        assert row["message"] == event["message"]
        assert (row["objectKind"], row["objectName"]) == ("Pod", event["involvedObject"]["name"])
        # The scheduler writes new-style events: their only time is eventTime.
        assert row["firstSeen"] == row["lastSeen"] == event["eventTime"][:19] + "Z"
        assert (row["count"], row["type"], row["sourceComponent"]) == (1, "Normal", "default-scheduler")


async def test_two_callers_see_different_lists(lists: Dashboard, kubectl: Kubectl, crowd: str) -> None:
    with account(kubectl, crowd, rules=[rule("pods", "list")]) as here, account(kubectl, crowd) as nobody:
        mine = lists.as_token(here)
        in_it = await mine.ok(f"/pod/{crowd}")
        assert in_it["listMeta"]["totalItems"] == PODS
        # Events may not be listed: the pods are there, the refusal as well.
        assert [each["ErrStatus"]["code"] for each in in_it["errors"]] == [403]
        everywhere = await mine.ok("/pod")
        assert {each["objectMeta"]["namespace"] for each in everywhere["pods"]} == {crowd}
        messages = [each["ErrStatus"]["message"] for each in everywhere["errors"]]
        assert any("pods is forbidden" in each and "cluster scope" in each for each in messages)
        none = await lists.as_token(nobody).ok("/pod")
        assert (none["pods"], none["listMeta"]) == ([], {"totalItems": 0})
        assert none["status"] == {"running": 0, "pending": 0, "failed": 0, "succeeded": 0, "terminating": 0}
        refused = await lists.as_token(here).ok("/pod/default")
        assert (refused["pods"], len(refused["errors"])) == ([], 2)
    assert (await lists.ok("/pod"))["listMeta"]["totalItems"] >= PODS


async def test_a_token_that_is_not_good(lists: Dashboard) -> None:
    answer = await lists.as_token("nonsense").get("/pod")
    assert (answer.status, answer.text) == (401, "MSG_LOGIN_UNAUTHORIZED_ERROR")


async def test_a_right_that_is_taken_away_is_gone_within_ten_seconds(
    dashboard: Dashboard, kubectl: Kubectl, crowd: str
) -> None:
    with account(kubectl, crowd, rules=[rule("pods", "list")]) as token:
        caller = dashboard.as_token(token)
        assert (await caller.ok(f"/pod/{crowd}"))["listMeta"]["totalItems"] == PODS
        kubectl("-n", crowd, "delete", "rolebinding", "--all")
        began = time.monotonic()
        async with asyncio.timeout(WAIT_S):
            while (await caller.ok(f"/pod/{crowd}"))["pods"]:  # noqa: ASYNC110 - the server is another process
                await asyncio.sleep(0.2)
        assert time.monotonic() - began < 10


async def test_a_list_that_is_out_of_step_says_so(
    *,
    dashboard: Dashboard,
    dashboard_server: RunningServer,
    kubectl: Kubectl,
    cluster: ClusterInfo,
    crowd: str,
    all_seeing: str,
    tmp_path: Path,
) -> None:
    certificate = issue_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(cluster.ca_file))
    rights = [rule("configmaps", "list", "watch")]
    with account(kubectl, crowd, cluster_rules=rights) as own:
        async with fault_proxy(cluster.api_server, tls=certificate, upstream_tls=trust) as proxy:
            fields = {"token": own, "ca_cert": certificate.ca_pem}
            await asyncio.to_thread(
                configure, dashboard_server, "faulty", api_server_url=f"https://{proxy.host}", **fields
            )
            client = dashboard.as_token(all_seeing).below("/clusters/faulty/api/v1")
            cut = proxy.add(Fault("GET", "watch=1", CutAnswer(10)))
            proxy.add(Fault("GET", "/configmaps", Answer(503), times=None, skip=1))
            before = await client.get(f"/configmap/{crowd}")
            assert (before.status, before.headers.get("Warning")) == (200, None)
            kubectl("-n", crowd, "create", "configmap", "unseen")
            async with asyncio.timeout(WAIT_S):
                while "Warning" not in (after := await client.get(f"/configmap/{crowd}")).headers:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert cut.met == 1
            assert after.headers["Warning"].startswith("110 ksnap ")
            assert after.body == before.body
            refused = await client.call("GET", f"/configmap/{crowd}", headers={"Cache-Control": "no-cache"})
            assert refused.status == 502  # what must be of now is not answered from then
