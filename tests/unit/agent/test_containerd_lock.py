"""Dumps and a restart of containerd keep apart: across processes, whoever dies, and without starving each other."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ksnap.agent import containerd_lock
from ksnap.agent.containerd_lock import DUMP_FOLDER, ContainerdBusy, containerd_alone, containerd_kept, dumps_under_way

HOLDS = """
import asyncio, sys, time
from pathlib import Path
from ksnap.agent.containerd_lock import containerd_alone, containerd_kept
async def keep():
    async with containerd_kept(Path(sys.argv[2]), patience_s=5):
        print("held", flush=True)
        await asyncio.sleep(60)
if sys.argv[1] == "kept":
    asyncio.run(keep())
with containerd_alone(Path(sys.argv[2]), patience_s=5):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(how: str, folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLDS, how, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


async def test_dumps_share_and_a_restart_waits_for_them(tmp_path: Path) -> None:
    dumping = await asyncio.to_thread(holder, "kept", tmp_path)
    try:
        async with containerd_kept(tmp_path, patience_s=0):
            pass
        with pytest.raises(ContainerdBusy, match="checkpoint is under way"):
            await asyncio.to_thread(_alone, tmp_path, 0.3)
    finally:
        end(dumping)
    # An agent that was killed holds nothing.
    await asyncio.to_thread(_alone, tmp_path, 1.0)


async def test_a_dump_waits_for_a_restart_and_then_begins(tmp_path: Path) -> None:
    restarting = await asyncio.to_thread(holder, "alone", tmp_path)
    with pytest.raises(ContainerdBusy, match="being restarted"):
        async with containerd_kept(tmp_path, patience_s=0.3):
            pass
    asyncio.get_running_loop().call_later(0.5, end, restarting)
    begun = time.monotonic()
    async with containerd_kept(tmp_path, patience_s=10):
        assert time.monotonic() - begun >= 0.4


async def test_a_restart_that_waits_lets_no_further_dump_begin(tmp_path: Path) -> None:
    """Else a node that is always freezing something would never be set up."""
    dumping = await asyncio.to_thread(holder, "kept", tmp_path)
    waiting = asyncio.create_task(asyncio.to_thread(_alone, tmp_path, 10.0))
    await asyncio.sleep(0.3)
    with pytest.raises(ContainerdBusy):
        async with containerd_kept(tmp_path, patience_s=0.3):
            pass
    end(dumping)
    await waiting
    async with containerd_kept(tmp_path, patience_s=1):
        pass


async def test_a_cancelled_wait_holds_nothing(tmp_path: Path) -> None:
    with containerd_alone(tmp_path, patience_s=0):
        task = asyncio.create_task(_keep(tmp_path))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    _alone(tmp_path, 0.0)


async def test_a_lock_taken_while_its_taker_is_cancelled_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk: the thread takes the lock when nobody waits for it any more."""
    begun = threading.Event()

    def slowly(*arguments: Any) -> bool:
        begun.set()
        time.sleep(0.3)
        return taken(*arguments)

    taken = containerd_lock._shared
    monkeypatch.setattr(containerd_lock, "_shared", slowly)
    task = asyncio.create_task(_keep(tmp_path))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _alone(tmp_path, 0.0)


def test_a_dump_of_anybody_is_seen_but_not_its_leftover(tmp_path: Path) -> None:
    for name, age_s in (("old", 100), ("new", 0)):
        folder = tmp_path / name / DUMP_FOLDER
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age_s,) * 2)
    (tmp_path / "idle").mkdir()
    assert dumps_under_way(tmp_path, since=time.time() - 50) == ["new"]
    assert sorted(dumps_under_way(tmp_path, since=0)) == ["new", "old"]
    assert dumps_under_way(tmp_path / "absent", since=0) == []


def _alone(folder: Path, patience_s: float) -> None:
    with containerd_alone(folder, patience_s=patience_s):
        pass


async def _keep(folder: Path) -> None:
    async with containerd_kept(folder, patience_s=30):
        pass
