"""The breaker's counts."""

from pathlib import Path

import pytest

from ksnap.agent.restore_failures import End, RestoreFailures

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


async def opened(folder: Path) -> RestoreFailures:
    failures = RestoreFailures(folder, limit=3, proof_s=30)
    await failures.open()
    return failures


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def on_a_clock(folder: Path) -> tuple[RestoreFailures, Clock]:
    clock = Clock()
    failures = RestoreFailures(folder, limit=3, proof_s=30, now=clock)
    await failures.open()
    return failures, clock


async def test_so_many_failures_are_too_many(tmp_path: Path) -> None:
    failures = await opened(tmp_path)
    for _ in range(2):
        await failures.add(ONE)
    assert not failures.too_many(ONE)
    await failures.add(ONE)
    assert failures.too_many(ONE)
    assert not failures.too_many(OTHER)


async def test_counts_outlive_the_agent_until_they_are_cleared(tmp_path: Path) -> None:
    failures = await opened(tmp_path)
    for _ in range(3):
        await failures.add(ONE)
    again = await opened(tmp_path)
    assert again.too_many(ONE)
    await again.clear(ONE)
    await again.clear(ONE)
    assert (await opened(tmp_path)).count(ONE) == 0


async def test_removed_file_counts_as_cleared(tmp_path: Path) -> None:
    await (await opened(tmp_path)).add(ONE)
    (tmp_path / "failures.json").unlink()
    assert (await opened(tmp_path)).count(ONE) == 0


@pytest.mark.parametrize("text", ["", "[]", '{"sha256:1": "x"}', "{"])
async def test_unreadable_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "failures.json").write_text(text)
    assert (await opened(tmp_path)).count("sha256:1") == 0


async def test_full_disk_costs_only_the_next_agents_knowledge(tmp_path: Path) -> None:
    failures = RestoreFailures(tmp_path / "absent", limit=1, proof_s=30)
    await failures.add(ONE)
    assert failures.too_many(ONE)


async def test_crashes_soon_after_a_restore_are_too_many_at_last(tmp_path: Path) -> None:
    failures, clock = await on_a_clock(tmp_path)
    for number in range(3):
        assert not failures.too_many(ONE)
        failures.restored(f"c{number}", ONE)
        clock.now += 1
        assert await failures.ended(f"c{number}", ONE, lived_s=1, signalled=False) is End.CRASHED
        # What the kubelet waits before it starts the next one proves nothing.
        clock.now += 40
    assert failures.too_many(ONE)
    assert (await opened(tmp_path)).too_many(ONE), "it is written down"


async def test_restore_that_succeeds_clears_nothing_before_its_container_has_lived(tmp_path: Path) -> None:
    failures, clock = await on_a_clock(tmp_path)
    await failures.add(ONE)
    await failures.add(OTHER)
    failures.restored("c", ONE)
    clock.now += 29.9
    assert failures.count(ONE) == 1
    clock.now += 0.1
    assert failures.count(ONE) == 0
    assert failures.count(OTHER) == 1


async def test_failure_after_a_proof_begins_a_new_series(tmp_path: Path) -> None:
    failures, clock = await on_a_clock(tmp_path)
    for _ in range(2):
        await failures.add(ONE)
    failures.restored("c", ONE)
    clock.now += 31
    await failures.add(ONE)
    assert failures.count(ONE) == 1
    assert (await opened(tmp_path)).count(ONE) == 1
    assert await failures.ended("c", ONE, lived_s=3600, signalled=False) is End.PROVEN
    assert failures.count(ONE) == 1, "its proof was used up"


async def test_signalled_container_proves_nothing_either_way(tmp_path: Path) -> None:
    failures, clock = await on_a_clock(tmp_path)
    await failures.add(ONE)
    failures.restored("c", ONE)
    clock.now += 5
    assert await failures.ended("c", ONE, lived_s=5, signalled=True) is End.SIGNALLED
    clock.now += 60
    assert failures.count(ONE) == 1


async def test_crash_counts_though_the_restore_was_told_to_a_former_agent(tmp_path: Path) -> None:
    failures = await opened(tmp_path)
    assert await failures.ended("c", ONE, lived_s=1, signalled=False) is End.CRASHED
    assert failures.count(ONE) == 1
