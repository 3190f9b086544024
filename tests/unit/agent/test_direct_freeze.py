"""The runtime engine's folder: offered once, tied to its archive by a mark, and never left behind."""

import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from ksnap.agent.archive_source import SplitArchive
from ksnap.agent.direct_freeze import DirectFreezes, discard_images, images_of, images_size, settle
from ksnap.agent.journal import JournalEntry
from ksnap.agent.publish import pack_archive
from ksnap.agent.restore_messages import FreezeReply
from ksnap.errors import CheckpointFailed
from ksnap.node.protocol import CaptureRequest, ServerDestination
from tests.parties.archives import END, Member, criu_images, documents, small_archive

CONTAINER = "a" * 64
PAGES = bytes(range(256)) * 9000


def entry_of(capture_id: str = "0123456789abcdef0123") -> JournalEntry:
    request = CaptureRequest(
        namespace="shop", pod="web", pod_uid="u", container="app", container_id=f"containerd://{CONTAINER}",
        destination=ServerDestination(), engine="auto",
    )  # fmt: skip
    now = datetime(2026, 11, 27, tzinfo=UTC)
    return JournalEntry(id=capture_id, request=request, created_at=now, changed_at=now)


def dumped(folder: Path, mark: str | None) -> Path:
    """What the kubelet writes: everything but the images, with ksnap-runc's mark or without."""
    members = [Member("checkpoint/", kind="5")]
    if mark is not None:
        members.append(Member("checkpoint/ksnap-freeze.img", mark.encode()))
    path = folder / "archive.tar"
    path.write_bytes(b"".join(each.encode() for each in [*members, *documents()]) + END)
    return path


def write_images(folder: Path) -> None:
    for member in criu_images()[1:]:
        (folder / Path(member.name).name).write_bytes(member.data)
    (folder / "pages-1.img").write_bytes(PAGES)


def names_in(entry: JournalEntry) -> list[str]:
    return os.listdir(entry.images_path or "")


def is_there(path: str | Path) -> bool:
    return os.path.lexists(path)


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
async def freezes(tmp_path: Path) -> DirectFreezes:
    freezes = DirectFreezes(tmp_path / "state")
    await freezes.open([])
    return freezes


async def test_a_dump_is_ours_once_and_while_we_ask(freezes: DirectFreezes) -> None:
    entry = entry_of()
    assert freezes.answer(CONTAINER) == FreezeReply()
    async with freezes.offered(entry):
        assert freezes.answer("b" * 64) == FreezeReply()
        reply = freezes.answer(CONTAINER)
        assert (reply.path, reply.mark) == (entry.images_path, entry.freeze_mark)
        assert mode_of(reply.path) == 0o700
        assert freezes.answer(CONTAINER) == FreezeReply()
    async with freezes.offered(entry):
        pass
    assert freezes.answer(CONTAINER) == FreezeReply()


async def test_each_try_has_an_empty_folder_and_a_mark_of_its_own(freezes: DirectFreezes) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        former = entry.freeze_mark
        write_images(Path(entry.images_path or ""))
    async with freezes.offered(entry):
        assert names_in(entry) == []
        assert entry.freeze_mark != former


async def test_images_and_archive_make_the_archive_that_the_kubelet_would_have_written(
    freezes: DirectFreezes, tmp_path: Path
) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        write_images(Path(entry.images_path or ""))
    archive = dumped(tmp_path, entry.freeze_mark)
    await settle(entry, archive)
    images = images_of(entry)
    assert entry.freeze_engine == "runtime"
    assert images is not None
    assert images_size(images) > len(PAGES)

    packed = [await packed_members(SplitArchive(archive, images)) for _ in range(2)]
    assert packed[0][0] == packed[1][0], "a second push finds the first one's layer"
    assert packed[0][1] == {**packed[0][1], "checkpoint/pages-1.img": PAGES}
    assert set(packed[0][1]) == set((await packed_members_of(small_archive(), tmp_path))[1])

    await discard_images(entry)
    assert not is_there(images)


async def packed_members(source: Path | SplitArchive) -> tuple[str, dict[str, bytes]]:
    parts: list[bytes] = []

    async def consume(pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            parts.append(piece)

    packed, _ = await pack_archive(source, consume)
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(parts))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        found = {each.name: tar.extractfile(each) for each in tar.getmembers() if each.isreg()}
        return packed.facts.compressed_digest, {name: file.read() for name, file in found.items() if file}


async def packed_members_of(archive: bytes, folder: Path) -> tuple[str, dict[str, bytes]]:
    path = folder / "whole.tar"
    path.write_bytes(archive)
    return await packed_members(path)


async def test_what_the_runtime_did_not_take_goes(freezes: DirectFreezes, tmp_path: Path) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        folder = Path(entry.images_path or "")
    path = tmp_path / "whole.tar"
    path.write_bytes(small_archive())
    await settle(entry, path)
    assert (entry.freeze_engine, entry.images_path, images_of(entry)) == ("kubelet", None, None)
    assert not is_there(folder)


async def test_another_freezes_archive_is_refused(freezes: DirectFreezes, tmp_path: Path) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        pass
    with pytest.raises(CheckpointFailed, match="written elsewhere"):
        await settle(entry, dumped(tmp_path, "f" * 32))
    entry.images_path = None
    with pytest.raises(CheckpointFailed, match="written elsewhere"):
        await settle(entry, dumped(tmp_path, entry.freeze_mark))


async def test_images_from_before_a_restart_of_the_node_are_not_trusted(freezes: DirectFreezes, tmp_path: Path) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        pass
    await settle(entry, dumped(tmp_path, entry.freeze_mark))
    entry.boot_id = "of another life"
    with pytest.raises(CheckpointFailed, match="restarted"):
        images_of(entry)


async def test_only_folders_that_the_journal_knows_outlive_the_agent(freezes: DirectFreezes, tmp_path: Path) -> None:
    ours, others = entry_of(), entry_of("of-nobody-any-more")
    for each in (ours, others):
        async with freezes.offered(each):
            write_images(Path(each.images_path or ""))
    await DirectFreezes(tmp_path / "state").open([ours])
    assert names_in(ours)
    assert not is_there(others.images_path or "")


@pytest.mark.parametrize("damage", ["link", "gone"])
async def test_images_that_changed_are_an_error_of_ours(freezes: DirectFreezes, tmp_path: Path, damage: str) -> None:
    entry = entry_of()
    async with freezes.offered(entry):
        folder = Path(entry.images_path or "")
        write_images(folder)
    archive = dumped(tmp_path, entry.freeze_mark)
    if damage == "link":
        (folder / "pages-1.img").unlink()
        (folder / "pages-1.img").symlink_to("/etc/passwd")
    else:
        await discard_images(entry)
    with pytest.raises(CheckpointFailed):
        await packed_members(SplitArchive(archive, folder))
