"""/cluster/{cluster_name}/doctor: what is told of nodes by their stored reports, and where there is no answer.

The administrator stands in for the agents, and the cluster's host refuses connections at once, as in
test_cluster_status; that pods are read, and that agents answer, is seen on a real cluster (tests/cluster).
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.parties.server import ADMIN_PASSWORD, RunningServer
from tests.server.client import Client, fresh
from tests.server.person import Person

POD = {"namespace": "shop", "pod_name": "web"}


async def told(admin: Client, cluster: str, node: str, **more: Any) -> None:
    report = {
        "cluster_name": cluster,
        "node_name": node,
        "timestamp": datetime.now(UTC).isoformat(),
        "checks": {"checkpoint": "checkpoint:pass"},
        "checkpointing_enabled": True,
        "restore_supported": "runtime",
        "criu_options": ["tcp-close", "skip-in-flight"],
        **more,
    }
    answer = await admin.post("/cluster/status/report", report)
    assert answer.status == 200, answer.text


def ids(findings: list[dict[str, str]]) -> dict[str, str]:
    return {each["id"]: each["level"] for each in findings}


async def test_nodes_are_told_of_by_their_last_reports(admin: Client, name: str) -> None:
    await told(admin, name, "node1")
    off = {"checkpoint": "checkpoint:fail:The kubelet does not offer checkpoints"}
    await told(
        admin,
        name,
        "node2",
        checks=off,
        checkpointing_enabled=False,
        freeze_obstacle="kubelet-offers-no-checkpoints",
        container_runtime="containerd://2.4.2",
        restore_supported="none",
        restore_reason="2.4 removed it",
    )
    reply = (await admin.get(f"/cluster/{name}/doctor")).body
    assert list(reply) == ["cluster_name", "problems", "findings", "nodes"]
    assert (reply["cluster_name"], ids(reply["findings"])) == (name, {"agents-not-asked": "problem"})
    assert "API server is unreachable" in reply["findings"][0]["message"]
    able, not_able = reply["nodes"]
    assert (able["name"], able["agent_answers"], able["checkpoint"]["able"]) == ("node1", None, True)
    assert ids(able["findings"]) == {"agent-not-asked": "unknown"}
    assert able["restore"]["runtime"] is True
    assert (not_able["checkpoint"]["able"], not_able["container_runtime"]) == (False, "containerd://2.4.2")
    assert ids(not_able["checkpoint"]["findings"]) == {"kubelet-offers-no-checkpoints": "problem"}
    [finding] = not_able["checkpoint"]["findings"]
    assert set(finding) == {"id", "level", "message", "remedy"}
    assert "ContainerCheckpoint: true" in finding["remedy"]
    assert ids(not_able["restore"]["findings"])["restores-by-nothing"] == "problem"
    assert reply["problems"] == 3


async def test_a_cluster_of_which_nothing_is_known(admin: Client, name: str) -> None:
    reply = (await admin.get(f"/cluster/{name}/doctor")).body
    assert (reply["nodes"], reply["problems"]) == ([], 1)
    assert "nothing is known" in reply["findings"][0]["message"]


async def test_a_pod_of_a_cluster_that_does_not_answer_is_502(admin: Client, name: str) -> None:
    answer = await admin.get(f"/cluster/{name}/doctor/pod", params=POD)
    assert (answer.status, answer.code) == (502, "CLUSTER_CONNECTION_FAILED")


async def test_a_cluster_may_be_called_doctor_and_still_have_a_status(admin: Client) -> None:
    new = {"name": "doctor", "api_server_url": "https://127.0.0.1:1", "token": "t"}
    assert (await admin.post("/config/clusters/create", new)).status == 200
    for path, key in (("/cluster/status/doctor", "daemonset_status"), ("/cluster/doctor/doctor", "problems")):
        answer = await admin.get(path)
        assert (answer.status, key in answer.body) == (200, True)
    await admin.delete("/config/clusters/delete", {"name": "doctor"})


async def test_an_unknown_cluster_is_not_found(admin: Client) -> None:
    absent = fresh("absent")
    for path in (f"/cluster/{absent}/doctor", f"/cluster/{absent}/doctor/pod"):
        answer = await admin.get(path, params=POD)
        assert (answer.status, answer.code) == (404, "CLUSTER_NOT_FOUND")
        assert absent in answer.details


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "namespace"),
        ({"namespace": "shop"}, "pod_name"),
        ({"pod_name": "web"}, "namespace"),
        ({"namespace": "Shop", "pod_name": "web"}, "namespace"),
        ({"namespace": "shop", "pod_name": "../x"}, "pod_name"),
    ],
)
async def test_a_pod_is_named_by_namespace_and_name(
    admin: Client, name: str, query: dict[str, str], field: str
) -> None:
    answer = await admin.get(f"/cluster/{name}/doctor/pod", params=query)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_a_name_that_no_cluster_can_have(admin: Client) -> None:
    answer = await admin.get("/cluster/Upper/doctor")
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")


@pytest.mark.timeout(240)
async def test_the_command_line_shows_findings_and_lines_and_exits_with_8(
    admin: Client, server: RunningServer, name: str, tmp_path: Path
) -> None:
    person = Person(tmp_path, server.url)
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    for node in ("node1", "node2"):
        await told(admin, name, node, criu_options=["skip-in-flight"])
    done = person.ksnap("doctor", name)
    assert done.code == 8, done.err
    assert "problems:  1" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert ["node1", "-", "yes", "runtime"] in [each[:4] for each in rows]
    assert ["node2", "warning", "tcp-close-off"] in [each[:3] for each in rows]
    assert "freeze-works" not in done.out
    assert "tcp-close-off (node1, node2):" in done.out
    assert done.out.count("--set criu.tcpClose=true") == 1, "what both nodes lack is said once"
    data = person.ksnap("doctor", name, "--output", "json")
    assert (data.code, data.json["problems"], len(data.json["nodes"])) == (8, 1, 2)
    assert person.ksnap("doctor", name, "-n", "shop", "--pod", "web").code == 7
    assert person.ksnap("doctor", name, "-n", "shop").code == 2
    assert person.ksnap("doctor", fresh("absent")).code == 5
