"""What a pod's events say, and that an API server that is away costs nothing but the event."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from ksnap.agent.api_server import ApiServer, ServiceAccount
from ksnap.agent.pod_events import PodEvents, crash_event, restore_condition, restore_event
from ksnap.agent.restore_messages import EndReport, OutcomeReport
from ksnap.agent.settings import AgentSettings
from tests.parties.certificates import issue_certificate
from tests.parties.restore_socket import ended_line, outcome_line

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
IMAGE = f"registry:5000/shop/web@sha256:{'1' * 64}"


def outcome(*, restored: bool, **fields: object) -> OutcomeReport:
    return OutcomeReport.model_validate(outcome_line(IMAGE, restored=restored, **fields))


def test_restored_container_is_told() -> None:
    event = restore_event(outcome(restored=True), node_name="node1", now=AT)

    assert (event["reason"], event["type"]) == ("Restored", "Normal")
    assert event["message"] == f"Restored app in 340 ms from {IMAGE}"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web-1",
        "uid": "6e7c1f0a-0000-4000-8000-000000000001",
        "fieldPath": "spec.containers{app}",
    }
    assert event["metadata"]["namespace"] == "shop"
    assert event["metadata"]["name"].startswith("web-1.")
    assert event["firstTimestamp"] == "2026-11-24T10:00:00Z"
    assert event["source"] == {"component": "ksnap-agent", "host": "node1"}


def test_cold_start_says_why() -> None:
    event = restore_event(
        outcome(restored=False, reason="CpuMismatch", message="avx512f is missing"), node_name="node1", now=AT
    )

    assert (event["reason"], event["type"]) == ("StartedCold", "Warning")
    assert event["message"] == "CpuMismatch: avx512f is missing"


def test_crash_says_how_long_it_lived_and_what_comes_next() -> None:
    end = EndReport.model_validate(ended_line(IMAGE, lived_ms=1234))

    event = crash_event(end, failures=2, limit=3, node_name="node1", now=AT)

    assert (event["reason"], event["type"]) == ("CrashedAfterRestore", "Warning")
    assert event["message"] == (
        f"app ended by itself 1.2 s after it was restored from {IMAGE}; failed restores of it on this node: 2, "
        "from 3 on it starts cold"
    )
    last = crash_event(end, failures=3, limit=3, node_name="node1", now=AT)
    assert last["message"].endswith("this node: 3, the next start is cold")


def test_condition_is_of_one_container_and_of_this_very_pod() -> None:
    patch = restore_condition(outcome(restored=True), now=AT)
    assert patch["metadata"] == {"uid": "6e7c1f0a-0000-4000-8000-000000000001"}
    assert patch["status"]["conditions"] == [
        {
            "type": "restored.ksnap.dev/app",
            "status": "True",
            "reason": "Restored",
            "message": f"Restored app in 340 ms from {IMAGE}",
            "lastTransitionTime": "2026-11-24T10:00:00Z",
        }
    ]
    (cold,) = restore_condition(outcome(restored=False, reason="DiskFull", message="x" * 2000), now=AT)["status"][
        "conditions"
    ]
    assert (cold["status"], cold["reason"], len(cold["message"])) == ("False", "DiskFull", 1000)


def test_long_texts_are_cut_to_what_an_event_may_hold() -> None:
    event = restore_event(outcome(restored=False, reason="RestoreFailed", message="x" * 9000, pod="p" * 253),
                          node_name="n", now=AT)  # fmt: skip

    assert len(event["message"]) == 1000
    assert len(event["metadata"]["name"]) <= 253


async def test_api_server_that_is_away_costs_the_event_alone(tmp_path: Path) -> None:
    issue_certificate(tmp_path)
    (tmp_path / "token").write_text("t")
    settings = AgentSettings(node_name="n", api_server_host="127.0.0.1", api_server_port=1)
    async with ApiServer(settings, ServiceAccount(tmp_path)) as api_server:
        events = PodEvents(api_server, "n")
        for _ in range(300):
            events.tell(outcome(restored=True))
        running = asyncio.ensure_future(events.run())
        await asyncio.sleep(0.2)
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
