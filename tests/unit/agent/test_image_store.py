"""Which images stay: the limit, the holds, the disk, and what the next agent finds."""

import json
import os
import time
from pathlib import Path

import pytest

from ksnap.agent import image_store
from ksnap.agent.image_store import CachedImage, ImageStore
from ksnap.agent.image_writer import ImageWriter
from ksnap.criu.unpacking import NewFile
from ksnap.errors import InsufficientStorage
from ksnap.model.digest import Digest

KIB = 1024


def digest(number: int) -> Digest:
    return Digest(f"sha256:{number:064x}")


def store_in(state_dir: Path, *, limit: int = 1 << 20, min_free: int = 0) -> ImageStore:
    return ImageStore(state_dir, limit_bytes=limit, min_free_bytes=min_free)


def put(store: ImageStore, number: int, size: int) -> CachedImage:
    writer = ImageWriter(store.folder, digest(number))
    writer.take([NewFile("status", size), memoryview(os.urandom(size))])
    writer.finish({"digest": digest(number), "repository": "r/x", "architecture": "amd64", "annotations": {"a": "b"}})
    image = CachedImage(digest(number), writer.path, writer.size_bytes)
    store.add(image)
    return image


@pytest.fixture
async def store(tmp_path: Path) -> ImageStore:
    found = store_in(tmp_path)
    await found.open()
    return found


def folders(store: ImageStore) -> list[str]:
    return sorted(each.name for each in store.folder.iterdir())


async def test_next_agent_finds_what_is_whole(store: ImageStore, tmp_path: Path) -> None:
    put(store, 1, 100)
    ImageWriter(store.folder, digest(2))
    (store.folder / f"sha256-{3:064x}").mkdir()
    other = put(store, 4, 100)
    other.path.rename(store.folder / f"sha256-{5:064x}")

    again = store_in(tmp_path)
    await again.open()

    (found,) = again.all()
    assert (found.digest, found.size_bytes, found.repository) == (digest(1), 100, "r/x")
    assert (found.architecture, found.annotations) == ("amd64", {"a": "b"})
    assert folders(again) == [f"sha256-{1:064x}"], "half, empty and misnamed ones are removed"
    assert again.folder.stat().st_mode & 0o777 == 0o700


async def test_least_recently_used_one_goes(store: ImageStore) -> None:
    images = [put(store, number, 300 * KIB) for number in (1, 2, 3)]
    await store.touch(images[0])
    async with store.room() as room:
        await room.reach(300 * KIB, at_once=True)
    assert [each.digest for each in store.all()] == [digest(1), digest(3)]
    assert len(folders(store)) == 2


async def test_order_of_use_outlives_the_agent(store: ImageStore, tmp_path: Path) -> None:
    images = [put(store, number, 300 * KIB) for number in (1, 2, 3)]
    old = time.time() - 1000
    for age, image in enumerate(images):
        os.utime(image.path / "image.json", (old + age, old + age))
    await store.touch(images[0])
    again = store_in(tmp_path)
    await again.open()
    async with again.room() as room:
        await room.reach(300 * KIB, at_once=True)
    assert sorted(each.digest for each in again.all()) == [digest(1), digest(3)]


async def test_held_one_never_goes(store: ImageStore) -> None:
    put(store, 1, 500 * KIB)
    put(store, 2, 300 * KIB)
    await store.hold("c1", digest(1))
    async with store.room() as room:
        await room.reach(400 * KIB, at_once=True)
        assert [each.digest for each in store.all()] == [digest(1)]
        with pytest.raises(InsufficientStorage) as caught:
            await room.reach(700 * KIB, at_once=True)
        assert "held" in caught.value.details
        await store.release("c1")
        await room.reach(700 * KIB, at_once=True)
    assert store.all() == []


async def test_pulls_under_way_count(store: ImageStore) -> None:
    async with store.room() as first, store.room() as second:
        await first.reach(700 * KIB, at_once=True)
        with pytest.raises(InsufficientStorage):
            await second.reach(400 * KIB, at_once=True)
    async with store.room() as third:
        await third.reach(1 << 20, at_once=True)


async def test_one_larger_than_the_cache_evicts_nothing(store: ImageStore) -> None:
    put(store, 1, 100)
    async with store.room() as room:
        with pytest.raises(InsufficientStorage, match="larger than"):
            await room.reach((1 << 20) + 1, at_once=True)
    assert len(store.all()) == 1


async def test_full_disk_evicts_first_and_refuses_then(tmp_path: Path) -> None:
    store = store_in(tmp_path, min_free=1 << 60)
    await store.open()
    put(store, 1, 100)
    async with store.room() as room:
        with pytest.raises(InsufficientStorage, match="too full"):
            await room.reach(10, at_once=True)
    assert store.all() == []


async def test_small_growth_is_accounted_for_later(store: ImageStore) -> None:
    async with store.room() as room:
        await room.reach(10)
        assert room.bytes == 0
        await room.reach(10, at_once=True)
        assert room.bytes == 10


async def test_holds_outlive_the_agent_and_end_by_themselves(store: ImageStore, tmp_path: Path) -> None:
    put(store, 1, 100)
    await store.hold("c1", digest(1))
    again = store_in(tmp_path)
    await again.open()
    assert again.is_held(digest(1))
    assert not again.is_held(digest(2))

    entries = json.loads((tmp_path / "holds.json").read_text())
    assert entries["c1"]["until"] == pytest.approx(time.time() + image_store.HOLD_S, abs=5)
    entries["c1"]["until"] = time.time() - 1
    (tmp_path / "holds.json").write_text(json.dumps(entries))
    later = store_in(tmp_path)
    await later.open()
    assert not later.is_held(digest(1))


async def test_two_containers_hold_one_image(store: ImageStore) -> None:
    await store.hold("c1", digest(1))
    await store.hold("c2", digest(1))
    await store.release("c1")
    assert store.is_held(digest(1))
    await store.release("c2")
    await store.release("c2")
    assert not store.is_held(digest(1))


async def test_image_whose_folder_somebody_removed_is_forgotten(store: ImageStore) -> None:
    image = put(store, 1, 100)
    (image.path / "image.json").unlink()
    assert not await store.touch(image)
    assert store.get(digest(1)) is None


@pytest.mark.parametrize("size", [None, 0, 99, 101])
async def test_damaged_image_is_forgotten_and_goes(store: ImageStore, size: int | None) -> None:
    image = put(store, 1, 100)
    file = image.path / "status"
    file.unlink() if size is None else os.truncate(file, size)

    assert not await store.touch(image)
    assert store.get(image.digest) is None
    assert folders(store) == []
