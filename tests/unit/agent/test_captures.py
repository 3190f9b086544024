"""What an agent does with captures that a former one left, that failed, or that nobody asks for any more."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ksnap.agent.captures import Captures
from ksnap.agent.settings import AgentSettings
from ksnap.errors import Unavailable
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureStatus, RegistryDestination, Stage, WireError
from tests.parties.node_agent import ARCHIVE, CONTAINER_ID, agent_settings, is_journaled, kubelet_of, lay_entry, request

FAILED = WireError(code="CHECKPOINT_FAILED", status=500, message="it failed")
HOURS = 3600.0


def captures_of(settings: AgentSettings) -> Captures:
    return Captures(settings, kubelet_of(settings))


async def until_gone(path: Path) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(path.exists):  # noqa: ASYNC110 # a file has no event
            await asyncio.sleep(0.05)


# What no writing to a disk can do here: a limit of the process stands for the full disk, so it is a process of its own.
ON_A_FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from tests.parties.node_agent import agent_settings
from tests.unit.agent.test_captures import captures_of, until_gone

async def main(folder):
    settings = agent_settings(folder, orphan_ttl_s=0.4)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    async with captures_of(settings):
        await until_gone(next(settings.checkpoints_dir.iterdir(), folder / "none"))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_agent_starts_on_a_full_disk_and_frees_it(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path)
    archive = settings.checkpoints_dir / ARCHIVE
    archive.touch()
    lay_entry(settings, "c1", request(), stage=Stage.AWAITING_FETCH, archive_path=str(archive))

    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=40
    )

    assert done.returncode == 0, done.stderr
    assert not archive.exists()


async def test_capture_whose_archive_stays_is_not_forgotten(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path)
    archive = settings.checkpoints_dir / ARCHIVE
    archive.mkdir()  # cannot be unlinked, as on a disk that went read-only
    lay_entry(settings, "c1", request(), stage=Stage.PUSHING, archive_path=str(archive))
    async with captures_of(settings) as captures:
        for _ in range(2):
            with pytest.raises(Unavailable, match="could not be removed") as caught:
                await captures.delete("c1", None)
            assert ARCHIVE in caught.value.details
        assert is_journaled(settings, "c1")
        archive.rmdir()
        archive.touch()

        state = await captures.delete("c1", None)

    assert state.status is CaptureStatus.CANCELLED
    assert not archive.exists()
    assert not is_journaled(settings, "c1")


async def test_archive_that_stayed_is_tried_again_without_being_asked(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path, orphan_ttl_s=0.4, keep_ended_s=0.1)
    archive = settings.checkpoints_dir / ARCHIVE
    archive.mkdir()
    lay_entry(settings, "c1", request(), stage=Stage.CLEANING, archive_path=str(archive), error=FAILED)
    async with captures_of(settings):
        await asyncio.sleep(1)
        assert is_journaled(settings, "c1")
        archive.rmdir()
        archive.touch()
        await until_gone(archive)


async def test_long_dump_is_waited_for_after_a_restart_and_its_archive_goes(tmp_path: Path) -> None:
    """Its capture's time-out passed long ago; a DELETE that comes in the middle waits with it."""
    settings = agent_settings(tmp_path)
    at_work = settings.containers_dir / CONTAINER_ID / "ctrd-checkpoint"
    at_work.mkdir(parents=True)
    asked = datetime.now(UTC) - timedelta(seconds=60)
    lay_entry(settings, "c1", request(timeout_s=1), stage=Stage.CLEANING, dump_asked_at=asked, error=FAILED)
    async with captures_of(settings) as captures:
        deleting = asyncio.ensure_future(captures.delete("c1", None))
        await asyncio.sleep(4.5)
        assert captures.get("c1").state().status is CaptureStatus.RUNNING
        assert not deleting.done()
        (settings.checkpoints_dir / ARCHIVE).touch()
        at_work.rmdir()
        state = await deleting

    assert state.status is CaptureStatus.FAILED
    assert list(settings.checkpoints_dir.iterdir()) == []
    assert not is_journaled(settings, "c1")


async def test_success_is_remembered_until_the_server_asks(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path, orphan_ttl_s=0.4)
    old: dict[str, Any] = {"stage": Stage.DONE, "age_s": 30 * HOURS}
    lay_entry(settings, "succeeded", request(), status=CaptureStatus.SUCCEEDED, manifests=["sha256:1"], **old)
    lay_entry(settings, "failed", request(), status=CaptureStatus.FAILED, error=FAILED, **old)
    lay_entry(settings, "left", request(), status=CaptureStatus.FAILED, error=FAILED, manifests=["sha256:1"], **old)
    lay_entry(settings, "ancient", request(), status=CaptureStatus.SUCCEEDED, stage=Stage.DONE, age_s=8 * 24 * HOURS)
    async with captures_of(settings) as captures:
        await until_gone(settings.state_dir / "journal" / "failed.json")
        await until_gone(settings.state_dir / "journal" / "ancient.json")
        assert {each.id for each in captures.states()} == {"succeeded", "left"}
        again = await captures.put("succeeded", request())
        assert again.status is CaptureStatus.SUCCEEDED
        await captures.delete("succeeded", None)

    assert not is_journaled(settings, "succeeded")
    assert is_journaled(settings, "left")


async def test_remembered_captures_make_room_for_new_ones(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path)
    entry = lay_entry(settings, "c0", request(), status=CaptureStatus.SUCCEEDED, stage=Stage.DONE)
    for number in range(1, 1000):
        at = entry.changed_at - timedelta(seconds=number)
        text = entry.model_copy(update={"id": f"c{number}", "changed_at": at}).model_dump_json()
        (settings.state_dir / "journal" / f"c{number}.json").write_text(text)
    async with captures_of(settings) as captures:
        await captures.put("new", request())
        known = {each.id for each in captures.states()}
        await asyncio.sleep(0.1)
        await captures.delete("new", None)

    assert "new" in known
    assert "c999" not in known
    assert len(known) == 1000
    assert not is_journaled(settings, "c999")


async def test_leftovers_in_a_registry_are_forgotten_after_days_with_a_warning(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path, orphan_ttl_s=0.4)
    registry = RegistryAccess(host="registry.test:5000")
    asked = request(RegistryDestination(registry=registry, repository="shop/web", tag="newest"))
    lay_entry(
        settings,
        "c1",
        asked,
        age_s=8 * 24 * HOURS,
        status=CaptureStatus.FAILED,
        error=FAILED,
        manifests=["sha256:1"],
    )
    with capture_logs() as logs:
        async with captures_of(settings):
            await until_gone(settings.state_dir / "journal" / "c1.json")

    (warning,) = [each for each in logs if each["event"] == "leftovers_forgotten"]
    assert warning["repository"] == "registry.test:5000/shop/web"
    assert warning["manifests"] == ["sha256:1"]
