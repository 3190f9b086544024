"""The breaker's counts."""

from pathlib import Path

import pytest

from ksnap.agent.restore_failures import RestoreFailures

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


async def opened(folder: Path) -> RestoreFailures:
    failures = RestoreFailures(folder, limit=3)
    await failures.open()
    return failures


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
    failures = RestoreFailures(tmp_path / "absent", limit=1)
    await failures.add(ONE)
    assert failures.too_many(ONE)
