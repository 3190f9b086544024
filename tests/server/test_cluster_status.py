"""/cluster/*: the deprecated calls, statistics, what agents report and what is told of it (contract, 3.2, 3.9, 8).

The administrator stands in for the agents, which need a real cluster to be recognised (tests/cluster). A cluster's
status is asked of a host that refuses connections at once, so that only the stored reports count.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.server.client import Client, fresh

TEXTS = {
    "enable_checkpointing": "This endpoint is deprecated. Checkpointing is now handled automatically by the DaemonSet.",
    "install_runc": "This endpoint is deprecated. runc installation is now handled automatically by the DaemonSet.",
    "verify_checkpointing": "This endpoint is deprecated. Cluster verification is now handled automatically by the "
    "DaemonSet.",
}
CHECKS = {"crio": "crio:crio version 1.31.2", "criu": "criu:Version: 3.19", "criu_config": "criu_config:pass"}


def now(**off: float) -> str:
    return (datetime.now(UTC) + timedelta(**off)).strftime("%Y-%m-%dT%H:%M:%SZ")


def report(cluster: str, node: str = "node1", **more: object) -> dict[str, Any]:
    return {"cluster_name": cluster, "node_name": node, "timestamp": now(), "checks": CHECKS, **more}


async def told(admin: Client, *reports: dict[str, Any]) -> None:
    for each in reports:
        answer = await admin.post("/cluster/status/report", each)
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("call", TEXTS)
@pytest.mark.parametrize("content", [None, '{"cluster_name": "x", "node_names": ["n"]}', "{", b"\xff", "[]", "7"])
async def test_a_deprecated_call_says_so_whatever_its_body_is(
    admin: Client, call: str, content: str | bytes | None
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await admin.call("POST", f"/cluster/{call}", data=content, headers=headers)
    assert answer.status == 200
    assert answer.body == {"success": False, "message": TEXTS[call]}
    assert list(answer.body) == ["success", "message"]
    assert answer.headers["Deprecation"] == "true"


async def test_a_report_is_answered_and_told(admin: Client, name: str) -> None:
    sent = report(name)
    answer = await admin.post("/cluster/status/report", sent)
    assert answer.status == 200
    assert answer.body["success"] is True
    assert "node1" in answer.body["message"]
    assert answer.body["node_status"] == {"node_name": "node1", "timestamp": sent["timestamp"], "checks": CHECKS}
    status = (await admin.get(f"/cluster/status/{name}")).body
    assert (status["cluster_name"], status["status"], status["daemonset_status"]) == (name, "healthy", "running")
    assert status["last_update"] == sent["timestamp"]
    [node] = status["nodes"]
    assert (node["name"], node["status"], node["checkpointing_enabled"]) == ("node1", "ready", True)
    assert node["checks"] == CHECKS


async def test_a_clock_that_is_off_is_set_right(admin: Client, name: str) -> None:
    for off in (timedelta(minutes=-6), timedelta(minutes=6), timedelta(days=-4000)):
        sent = report(name, timestamp=(datetime.now(UTC) + off).isoformat())
        answer = await admin.post("/cluster/status/report", sent)
        kept = datetime.fromisoformat(answer.body["node_status"]["timestamp"])
        assert abs(kept - datetime.now(UTC)) < timedelta(minutes=1)
    near = report(name, timestamp=now(minutes=-4))
    assert (await admin.post("/cluster/status/report", near)).body["node_status"]["timestamp"] == near["timestamp"]


async def test_the_last_report_takes_the_formers_place(admin: Client, name: str) -> None:
    await told(admin, report(name), report(name, checks={**CHECKS, "criu": "criu:fail:not_installed"}))
    [node] = (await admin.get(f"/cluster/status/{name}")).body["nodes"]
    assert (node["status"], node["checkpointing_enabled"]) == ("not_ready", False)
    assert "criu:fail:not_installed" in node["reason"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cluster_name": "../x"}, "cluster_name"),
        ({"cluster_name": None}, "cluster_name"),
        ({"node_name": "Upper"}, "node_name"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 5}, "timestamp"),
        ({"checks": None}, "checks"),
        ({"checks": {"criu": 1}}, "checks"),
        ({"checks": {str(number): "x" for number in range(51)}}, "checks"),
        ({"free_disk_bytes": -1}, "free_disk_bytes"),
        ({"restore_supported": "maybe"}, "restore_supported"),
    ],
)
async def test_a_bad_report_names_its_field(admin: Client, name: str, change: dict[str, Any], field: str) -> None:
    answer = await admin.post("/cluster/status/report", report(name, **change))
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_an_unknown_cluster_is_not_found(admin: Client) -> None:
    absent = fresh("absent")
    for answer in (
        await admin.post("/cluster/status/report", report(absent)),
        await admin.get(f"/cluster/status/{absent}"),
        await admin.get("/cluster/status/summary", params={"cluster_name": absent}),
    ):
        assert (answer.status, answer.code) == (404, "CLUSTER_NOT_FOUND")
        assert absent in answer.details


async def test_a_name_that_no_cluster_can_have(admin: Client) -> None:
    for answer in (
        await admin.get("/cluster/status/Upper"),
        await admin.get("/cluster/status/summary", params={"cluster_name": "../x"}),
    ):
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert "cluster_name" in answer.details


async def test_a_cluster_is_as_well_as_its_nodes(admin: Client, name: str) -> None:
    bad: dict[str, Any] = {"checks": {**CHECKS, "criu": "criu:fail:x"}}
    none = (await admin.get(f"/cluster/status/{name}")).body
    assert none == {
        "cluster_name": name,
        "status": "unknown",
        "nodes": [],
        "daemonset_status": "not_deployed",
        "last_update": None,
    }
    await told(admin, report(name), report(name, "node2", **bad))
    assert (await admin.get(f"/cluster/status/{name}")).body["status"] == "degraded"
    await told(admin, report(name, **bad))
    assert (await admin.get(f"/cluster/status/{name}")).body["status"] == "unhealthy"
    # Also where the agent says that it is enabled.
    await told(admin, report(name, checkpointing_enabled=True, **bad))
    assert (await admin.get(f"/cluster/status/{name}")).body["status"] == "unhealthy"


async def test_a_summary_is_of_one_cluster_or_of_all(admin: Client, name: str) -> None:
    bad: dict[str, Any] = {"checks": {**CHECKS, "criu_config": "criu_config:fail:x"}}
    await told(admin, report(name), report(name, "node2"))
    one = (await admin.get("/cluster/status/summary", params={"cluster_name": name})).body
    assert one["success"] is True
    assert (one["cluster_status"]["total_nodes"], one["cluster_status"]["overall_status"]) == (2, "ready")
    await told(admin, report(name, "node2", **bad))
    one = (await admin.get("/cluster/status/summary", params={"cluster_name": name})).body["cluster_status"]
    counts = [one[key] for key in ("total_nodes", "ready_nodes", "not_ready_nodes", "overall_status")]
    assert counts == [2, 1, 1, "not_ready"]
    details = {each["node_name"]: each for each in one["node_details"]}
    assert set(details["node2"]) == {"node_name", "ready", "last_update", "is_recent", "checks"}
    assert (details["node1"]["ready"], details["node2"]["ready"], details["node2"]["is_recent"]) == (True, False, True)
    everything = (await admin.get("/cluster/status/summary")).body["cluster_status"]
    assert everything["total_nodes"] >= 2
    empty = (await admin.get("/cluster/status/summary", params={"cluster_name": name + "x"})).code
    assert empty == "CLUSTER_NOT_FOUND"


async def test_reports_go_with_their_cluster(admin: Client, name: str) -> None:
    await told(admin, report(name), report(name, "node2"))
    before = (await admin.get("/cluster/statistics")).body
    assert (await admin.delete("/config/clusters/delete", params={"name": name})).status == 200
    after = (await admin.get("/cluster/statistics")).body
    assert set(after) == {"total_clusters", "active_clusters", "total_checkpoints", "total_nodes"}
    differences = {key: before[key] - after[key] for key in after}
    assert differences == {"total_clusters": 1, "active_clusters": 1, "total_checkpoints": 0, "total_nodes": 2}
    new = {"name": name, "api_server_url": "https://127.0.0.1:1", "token": "t"}
    assert (await admin.post("/config/clusters/create", new)).status == 200
    assert (await admin.get(f"/cluster/status/{name}")).body["nodes"] == []


async def test_a_delete_of_a_cluster_takes_body_or_query_and_no_contradiction(admin: Client, name: str) -> None:
    both = await admin.delete("/config/clusters/delete", {"name": name}, params={"name": "other"})
    assert (both.status, both.code) == (422, "VALIDATION_ERROR")
    assert (await admin.delete("/config/clusters/delete")).code == "VALIDATION_ERROR"
    assert (await admin.delete("/config/clusters/delete", {"name": name}, params={"name": name})).status == 200
