"""The blob store on a real folder: streams both ways, atomic names, errors that are ours."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ksnap.errors import InsufficientStorage, InvalidInput, NotFound, Unavailable
from ksnap.store.blobs import Blobs, check_name, open_blobs

MIB = 1 << 20


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs((tmp_path / "blobs").as_uri())


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


async def test_a_stream_comes_back_whole_and_from_an_offset(blobs: Blobs) -> None:
    content = bytes(range(256)) * (MIB // 256) * 20
    parts = [content[start : start + 3_000_001] for start in range(0, len(content), 3_000_001)]
    assert await blobs.put("prod/shop/a.tar.zst", chunks(*parts)) == len(content)
    assert b"".join([each async for each in blobs.get("prod/shop/a.tar.zst")]) == content
    assert b"".join([each async for each in blobs.get("prod/shop/a.tar.zst", offset=5 * MIB)]) == content[5 * MIB :]
    assert b"".join([each async for each in blobs.get("prod/shop/a.tar.zst", offset=7, length=5)]) == content[7:12]
    info = await blobs.info("prod/shop/a.tar.zst")
    assert (info.name, info.size_bytes) == ("prod/shop/a.tar.zst", len(content))
    assert [each.name async for each in blobs.list("prod")] == ["prod/shop/a.tar.zst"]
    assert [each.name async for each in blobs.list("other")] == []


async def test_an_empty_stream_is_an_empty_blob(blobs: Blobs) -> None:
    assert await blobs.put("empty", chunks()) == 0
    assert b"".join([each async for each in blobs.get("empty")]) == b""


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    await blobs.put("a", chunks(b"x"))
    await blobs.delete("a")
    await blobs.delete("a")
    with pytest.raises(NotFound):
        await blobs.info("a")
    with pytest.raises(NotFound):
        _ = [each async for each in blobs.get("a")]


async def test_a_source_that_fails_leaves_nothing_and_keeps_its_error(blobs: Blobs, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (20 * MIB)
        raise NotFound("The node's copy is gone")

    with pytest.raises(NotFound, match="node's copy"):
        await blobs.put("a", broken())
    assert files(tmp_path) == []


async def test_a_cancelled_upload_leaves_no_blob(blobs: Blobs, tmp_path: Path) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (9 * MIB)
            started.set()
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        upload = group.create_task(blobs.put("a", endless()))
        await started.wait()
        upload.cancel()
    await asyncio.sleep(0.2)
    assert files(tmp_path) == []


async def test_an_upload_is_invisible_until_it_is_complete(blobs: Blobs) -> None:
    seen: list[str] = []

    async def looking() -> AsyncIterator[bytes]:
        yield b"x" * (20 * MIB)
        seen.extend([each.name async for each in blobs.list()])
        yield b"y"

    await blobs.put("a", looking())
    assert seen == []
    assert [each.name async for each in blobs.list()] == ["a"]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", ".hidden", "a//b", "a/", "a\nb", "ä", "a" * 700])
def test_a_name_that_could_leave_the_store_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


async def test_a_folder_that_has_vanished_does_not_answer(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    blobs = open_blobs(f"file://{folder}")
    await blobs.check()
    folder.rmdir()
    with pytest.raises(Unavailable):
        await blobs.check()


def test_a_url_that_no_store_knows_is_refused() -> None:
    with pytest.raises(InvalidInput):
        open_blobs("ftp://example.org/x")


KILLED_PUT = """
import asyncio, os, signal, sys
from ksnap.store.blobs import open_blobs

async def chunks():
    for _ in range(40):
        yield b"x" * (1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(open_blobs(sys.argv[1]).put("archives/a.tar.zst", chunks()))
"""


@pytest.mark.parametrize("then", ["put", "delete"])
async def test_what_a_killed_put_had_staged_goes_with_the_next_put_or_deletion(tmp_path: Path, then: str) -> None:
    """obstore stages under a name of its own, which it neither lists nor takes again."""
    url = (tmp_path / "blobs").as_uri()
    command = [sys.executable, "-c", KILLED_PUT, url]
    await asyncio.to_thread(subprocess.run, command, check=False, timeout=60)
    assert files(tmp_path) == ["blobs/archives/a.tar.zst#1"]
    blobs = open_blobs(url)
    await blobs.put("archives/a.tar.zst.other", chunks(b"y"))
    if then == "put":
        await blobs.put("archives/a.tar.zst", chunks(b"x"))
        assert files(tmp_path) == ["blobs/archives/a.tar.zst", "blobs/archives/a.tar.zst.other"]
    else:
        await blobs.delete("archives/a.tar.zst")
        assert files(tmp_path) == ["blobs/archives/a.tar.zst.other"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("mib", [1, 100])
async def test_a_full_disk_is_told_and_left_clean(small_disk: Path, mib: int) -> None:
    """Of the large one the store stops reading in the middle, which is no error of the source."""
    with pytest.raises(InsufficientStorage):
        await open_blobs(small_disk.as_uri()).put("a/b", chunks(*[bytes(MIB)] * mib))
    assert files(small_disk) == []
