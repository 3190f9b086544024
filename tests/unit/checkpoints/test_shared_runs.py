"""A run outlives the patience of those who wait for it, and is never begun twice."""

import asyncio
from functools import partial

import pytest

from ksnap.checkpoints.shared_runs import SharedRuns
from ksnap.errors import Unavailable


async def test_a_run_goes_on_when_nobody_waits_any_more() -> None:
    runs, may_end, ended = SharedRuns(), asyncio.Event(), []

    async def work() -> None:
        await may_end.wait()
        ended.append("once")

    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await runs.join("a", work)
    may_end.set()
    await runs.join("a", work)
    assert ended == ["once"]
    await runs.join("a", work)
    assert ended == ["once", "once"]


async def test_an_error_comes_out_to_all_who_wait_and_is_not_kept() -> None:
    runs, tries = SharedRuns(), 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        raise Unavailable("not now")

    outcomes = await asyncio.gather(*(runs.join("a", work) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await runs.join("a", work)
    assert tries == 2


async def test_keys_do_not_wait_for_each_other_and_closing_ends_all() -> None:
    runs, begun = SharedRuns(), []

    async def work(key: str) -> None:
        begun.append(key)
        await asyncio.Event().wait()

    waiting = [asyncio.create_task(runs.join(key, partial(work, key))) for key in ("a", "b")]
    await asyncio.sleep(0.01)
    assert begun == ["a", "b"]
    await runs.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes)
