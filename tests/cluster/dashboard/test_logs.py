"""Pages of logs of real containers (dashboard contract, sections 11.1 to 11.3)."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.log_pods import FOREVER, container, pod, until
from tests.cluster.namespaces import own_namespace


@pytest.fixture(scope="module")
def logs(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with pods whose logs say known things."""
    with own_namespace(kubectl) as name:
        chatty = container(cluster, f"for i in $(seq 0 6000); do echo line $i; done; {FOREVER}")
        side = container(cluster, f"echo beside; {FOREVER}", name="side")
        again = container(cluster, f"test -e /kept/1 && {{ echo second; {FOREVER}; }}; echo first; touch /kept/1")
        again["volumeMounts"] = [{"name": "kept", "mountPath": "/kept"}]
        kubectl.apply(
            pod("chatty", name, chatty, side, init=container(cluster, "echo prepared", name="init")),
            pod("again", name, again, volumes=[{"name": "kept", "emptyDir": {}}]),
            pod(
                "stuck", name, {**container(cluster, "true"), "image": "nowhere.invalid/x", "imagePullPolicy": "Never"}
            ),
        )
        kubectl.wait_ready(name, "chatty")
        until(lambda: "line 6000" in kubectl("-n", name, "logs", "chatty", "-c", "app", "--tail=1"))
        until(lambda: "second" in kubectl("-n", name, "logs", "again"))
        until(lambda: "ImageNeverPull" in kubectl("-n", name, "get", "pod", "stuck", "--output=json"))
        yield name


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, logs: str) -> Iterator[str]:
    """Of one who may read pods and their logs, and no more."""
    with account(kubectl, logs, rules=[rule("pods", "get"), rule("pods/log", "get")]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


def _lines(page: dict[str, Any]) -> list[str]:
    return [line["content"] for line in page["logs"]]


async def test_the_last_hundred_lines_of_the_first_container(reader: Dashboard, logs: str) -> None:
    page = await reader.ok(f"/log/{logs}/chatty")
    assert _lines(page) == [f"line {number}" for number in range(5901, 6001)]
    info = page["info"]
    assert info == {
        "podName": "chatty",
        "containerName": "app",
        "initContainerName": "",
        "fromDate": page["logs"][0]["timestamp"],
        "toDate": page["logs"][-1]["timestamp"],
        "truncated": False,
    }
    assert page["selection"]["logFilePosition"] == "end"
    assert (page["selection"]["offsetFrom"], page["selection"]["offsetTo"]) == (2400, 2500)


async def test_paging_through_all_that_is_read(reader: Dashboard, logs: str) -> None:
    path = f"/log/{logs}/chatty/app"
    page = await reader.ok(path, tailLines=1000)
    seen = _lines(page)
    while not page["info"]["truncated"]:
        chosen = page["selection"]
        page = await reader.ok(
            path,
            referenceTimestamp=chosen["referencePoint"]["timestamp"],
            referenceLineNum=chosen["referencePoint"]["lineNum"],
            offsetFrom=chosen["offsetFrom"] - 1000,
            offsetTo=chosen["offsetFrom"],
            logFilePosition="end",
        )
        seen = _lines(page) + [line for line in seen if line not in set(_lines(page))]
    assert seen == [f"line {number}" for number in range(1001, 6001)]


async def test_from_the_beginning(reader: Dashboard, logs: str) -> None:
    given = {"referenceTimestamp": "oldest", "logFilePosition": "beginning"}
    page = await reader.ok(f"/log/{logs}/chatty/app", offsetFrom=-2000000100, offsetTo=-2000000000, **given)
    assert _lines(page) == [f"line {number}" for number in range(100)]
    assert not page["info"]["truncated"]


async def test_five_thousand_lines_are_a_page(reader: Dashboard, logs: str) -> None:
    page = await reader.ok(f"/log/{logs}/chatty/app", tailLines=5000)
    assert _lines(page)[0] == "line 1001"
    assert len(page["logs"]) == 5000


async def test_an_init_container(reader: Dashboard, logs: str) -> None:
    page = await reader.ok(f"/log/{logs}/chatty/init")
    assert _lines(page) == ["prepared"]
    assert (page["info"]["containerName"], page["info"]["initContainerName"]) == ("init", "init")


async def test_another_container(reader: Dashboard, logs: str) -> None:
    assert _lines(await reader.ok(f"/log/{logs}/chatty/side")) == ["beside"]


async def test_the_instance_before(reader: Dashboard, logs: str) -> None:
    assert _lines(await reader.ok(f"/log/{logs}/again", previous="true")) == ["first"]
    for word in ("false", "yes"):
        assert _lines(await reader.ok(f"/log/{logs}/again/app", previous=word)) == ["second"]


async def test_no_line_before_a_time(reader: Dashboard, logs: str) -> None:
    path = f"/log/{logs}/chatty/app"
    last = (await reader.ok(path))["info"]["toDate"]
    assert _lines(await reader.ok(path, sinceTime="2100-01-01T00:00:00Z")) == []
    assert _lines(await reader.ok(path, sinceTime=last))[-1] == "line 6000"


async def test_a_container_that_waits_is_no_failure(reader: Dashboard, logs: str) -> None:
    page = await reader.ok(f"/log/{logs}/stuck")
    assert "waiting to start" in page["info"]["error"]
    assert page["logs"] == [{"timestamp": "0", "content": page["info"]["error"]}]


async def test_an_instance_before_that_never_was(reader: Dashboard, logs: str) -> None:
    page = await reader.ok(f"/log/{logs}/chatty/app", previous="true")
    assert "not found" in page["info"]["error"]


@pytest.mark.parametrize(
    ("path", "status"), [("none", 404), ("none/app", 404), ("chatty/none", 400)], ids=["pod", "named", "container"]
)
async def test_what_is_not_there(reader: Dashboard, logs: str, path: str, status: int) -> None:
    answer = await reader.get(f"/log/{logs}/{path}")
    assert (answer.status, "none" in answer.text) == (status, True), answer


async def test_what_is_not_valid(reader: Dashboard, logs: str) -> None:
    for given, allowed in (
        ({"tailLines": "0"}, "1 to 5000"),
        ({"offsetTo": "1"}, "both"),
        ({"sinceTime": "x"}, "RFC 3339"),
    ):
        answer = await reader.get(f"/log/{logs}/chatty/app", **given)
        assert (answer.status, allowed in answer.text) == (400, True), answer


async def test_the_right_to_logs_alone(dashboard: Dashboard, kubectl: Kubectl, logs: str) -> None:
    with account(kubectl, logs, rules=[rule("pods/log", "get")]) as token:
        caller = dashboard.as_token(token)
        named = await caller.get(f"/log/{logs}/chatty/side")
        first = await caller.get(f"/log/{logs}/chatty")
    assert (named.status, _lines(named.body)) == (200, ["beside"])
    assert first.status == 403
    with account(kubectl, logs, rules=[rule("pods", "get")]) as token:
        refused = await dashboard.as_token(token).get(f"/log/{logs}/chatty/side")
    assert (refused.status, refused.text.startswith("forbidden: ")) == (403, True)


async def test_without_a_token(dashboard: Dashboard, logs: str) -> None:
    assert (await dashboard.as_token("").get(f"/log/{logs}/chatty")).status == 401
