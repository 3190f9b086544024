"""Starts that no agent was told of are told by the next one, out of ksnap-runc's records."""

import asyncio
import json
import os
import time
from pathlib import Path

from ksnap.agent.api_server import ApiServer, ServiceAccount
from ksnap.agent.pod_events import PodEvents, restore_event
from ksnap.agent.restore_messages import OutcomeReport
from ksnap.agent.settings import AgentSettings
from ksnap.agent.start_records import tell_untold
from tests.parties.certificates import issue_certificate
from tests.parties.restore_socket import outcome_line
from tests.unit.agent.test_pod_events import AT, IMAGE

MINUTE_S = 60.0


def record(folder: Path, container_id: str, *, age_s: float = MINUTE_S, **fields: object) -> Path:
    """As ksnap-runc writes it (runtime/record.go)."""
    line = outcome_line(IMAGE, restored=False, container_id=container_id, reason="AgentUnavailable", **fields)
    del line["op"]
    path = folder / f"{container_id}.json"
    path.write_text(json.dumps({**line, "pid": 0, "start_ticks": 0, "at": "2026-11-24T10:00:00.000Z"}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


async def told(folder: Path, *candidates: str, first: str) -> set[str]:
    """Which of them are told, once the first one is."""
    settings = AgentSettings(node_name="n", api_server_host="127.0.0.1", api_server_port=1)
    account = folder / "account"
    account.mkdir()
    issue_certificate(account)
    events = PodEvents(ApiServer(settings, ServiceAccount(account)), "n")
    running = asyncio.ensure_future(tell_untold(folder, events))
    async with asyncio.timeout(10):
        while not events.has_told(first):  # noqa: ASYNC110 - looked at from outside, where nothing tells
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    return {each for each in candidates if events.has_told(each)}


async def test_a_record_of_the_time_before_is_told(tmp_path: Path) -> None:
    record(tmp_path, "a1")
    assert await told(tmp_path, "a1", first="a1") == {"a1"}


async def test_what_is_no_news_or_not_over_yet_is_not_told(tmp_path: Path) -> None:
    """In the order of their names, the one that is told comes last."""
    record(tmp_path, "a1", age_s=2 * 3600)
    record(tmp_path, "a2", age_s=0)
    (tmp_path / "a3.json").write_text("[]")
    (tmp_path / "a4.json").write_text("{")
    record(tmp_path, "a5", version=2)
    (tmp_path / "a6.json").symlink_to(record(tmp_path, "z9", age_s=2 * 3600))
    record(tmp_path, "b1")
    assert await told(tmp_path, *(f"a{each}" for each in range(1, 7)), "b1", "z9", first="b1") == {"b1"}


def test_one_start_has_one_event_whoever_tells_it() -> None:
    def name(container_id: str) -> str:
        outcome = OutcomeReport.model_validate(outcome_line(IMAGE, restored=False, container_id=container_id))
        found: str = restore_event(outcome, node_name="n", now=AT)["metadata"]["name"]
        return found

    assert name("a1") == name("a1") != name("a2")
