"""The cache holds whole entries only, keyed by their inputs."""

import threading
from pathlib import Path

import pytest

from dev.cluster.cache import Cache, key_of


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("slow")

    cache = Cache(tmp_path)

    assert cache.get("thing", key_of("k"), make).read_text() == "slow"
    assert cache.get("thing", key_of("k"), make).name == f"thing-{key_of('k')}"
    assert len(made) == 1


def test_a_failed_making_leaves_no_entry(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("of it")
        raise OSError("disk full")

    def make(path: Path) -> None:
        path.mkdir()
        (path / "whole").write_text("all of it")

    cache = Cache(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        cache.get("thing", key_of("k"), fail)

    assert [path.name for path in cache.get("thing", key_of("k"), make).iterdir()] == ["whole"]


def test_two_makers_of_one_entry_make_it_once(tmp_path: Path) -> None:
    made: list[str] = []
    begun = threading.Event()

    def make(path: Path) -> None:
        begun.set()
        made.append(threading.current_thread().name)
        path.write_text("slow")

    threads = [threading.Thread(target=Cache(tmp_path).get, args=("thing", key_of("k"), make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(made) == 1


def test_scratch_is_empty_at_the_start_and_gone_at_the_end(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / ".making-work" / "left").mkdir(parents=True)

    with cache.scratch("work") as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").touch()
    assert not folder.exists()


def test_a_key_depends_on_every_input_and_on_where_each_ends(tmp_path: Path) -> None:
    assert key_of("a", "bc") != key_of("ab", "c")
    (tmp_path / "one").write_text("1")
    before = key_of(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("noise")
    assert key_of(tmp_path) == before
    (tmp_path / "one").rename(tmp_path / "two")
    assert key_of(tmp_path) != before


def test_what_a_killed_run_left_half_made_is_swept_away_by_the_next_of_its_kind(tmp_path: Path) -> None:
    left = tmp_path / f".making-thing-{key_of('older')}"
    other = tmp_path / f".making-thing-else-{key_of('k')}"
    for folder in (left, other):
        folder.mkdir()
    Cache(tmp_path).get("thing", key_of("k"), lambda path: path.touch())

    assert (left.exists(), other.exists()) == (False, True)
