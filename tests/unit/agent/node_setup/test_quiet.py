"""When the set-up may restart containerd, and that it gives up in words."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksnap.agent.containerd_lock import containerd_kept
from ksnap.agent.node_setup import containerd_service, quiet
from ksnap.errors import Unavailable


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "_LOOK_S", 0.05)
    monkeypatch.setattr(quiet, "_ALONE_S", 0.2)


@pytest.fixture
def dumping(tmp_path: Path) -> Iterator[threading.Event]:
    """Holds the agents' lock until it is set."""
    ended, held = threading.Event(), threading.Event()

    async def dump() -> None:
        async with containerd_kept(tmp_path, patience_s=5):
            held.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(dump()))
    thread.start()
    held.wait()
    yield ended
    ended.set()
    thread.join()


def test_it_waits_for_what_containerd_works_on(tmp_path: Path) -> None:
    looks = iter([["pod shop/cart is starting"], [], [], []])
    with quiet.quiet(lambda: next(looks), tmp_path):
        pass
    assert list(looks) == [[]]


def test_what_begins_meanwhile_is_waited_for_too(tmp_path: Path) -> None:
    """The first look saw nothing, the lock was taken, and somebody else had begun in between."""
    looks = iter([[], ["container 7 is being frozen"], [], []])
    with quiet.quiet(lambda: next(looks), tmp_path):
        pass
    assert list(looks) == []


def test_it_waits_for_an_agents_dump(tmp_path: Path, dumping: threading.Event) -> None:
    threading.Timer(0.6, dumping.set).start()
    begun = time.monotonic()
    with quiet.quiet(list, tmp_path):
        assert time.monotonic() - begun > 0.5


def test_it_gives_up_in_words(tmp_path: Path, dumping: threading.Event) -> None:
    with pytest.raises(Unavailable) as caught, quiet.quiet(list, tmp_path, patience_s=0.3):
        pass
    assert caught.value.details == "A checkpoint is under way on this node"
    assert not dumping.is_set()


def test_a_process_start_is_read_from_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd_service, "containerd_pid", lambda _: os.getpid())
    started = containerd_service.started_at(Path("/proc"))
    assert time.time() - 3600 < started <= time.time() + 1
    monkeypatch.setattr(containerd_service, "containerd_pid", lambda _: None)
    assert containerd_service.started_at(Path("/proc")) == 0.0
