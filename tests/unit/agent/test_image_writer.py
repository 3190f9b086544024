"""Images on the disk: whole or not there, holes for zeros, and no link ever followed."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.agent.image_writer import ImageWriter, dense_runs, remove_folder, sweep
from ksnap.criu.unpacking import NewFile, NewFolder
from ksnap.errors import CheckpointFailed
from ksnap.model.digest import Digest

DIGEST = Digest("sha256:" + "ab" * 32)
NAME = "sha256-" + "ab" * 32
KIB = 1024


def file(name: str, data: bytes) -> list[NewFile | memoryview]:
    return [NewFile(name, len(data)), memoryview(data)] if data else [NewFile(name, 0)]


def test_image_lies_under_its_name_once_it_is_whole(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take([NewFolder("checkpoint"), *file("checkpoint/core-1.img", b"core"), *file("status", b"")])
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".making-")] == []

    writer.finish({"digest": DIGEST})

    image = tmp_path / NAME
    assert list(tmp_path.iterdir()) == [image]
    assert writer.path == image
    assert (image / "checkpoint" / "core-1.img").read_bytes() == b"core"
    assert (image / "status").read_bytes() == b""
    assert json.loads((image / "image.json").read_bytes()) == {"digest": DIGEST, "size_bytes": 4}
    modes = {path.relative_to(image).as_posix(): path.stat().st_mode & 0o7777 for path in image.rglob("*")}
    assert modes == {"checkpoint": 0o700, "checkpoint/core-1.img": 0o600, "status": 0o600, "image.json": 0o600}
    assert image.stat().st_mode & 0o7777 == 0o700


def test_folder_that_the_archive_does_not_list_is_made(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take(file("checkpoint/a.img", b"a"))
    writer.take([NewFolder("checkpoint"), *file("checkpoint/b.img", b"b")])
    writer.finish({})
    assert sorted(each.name for each in (tmp_path / NAME / "checkpoint").iterdir()) == ["a.img", "b.img"]


def test_pieces_of_any_size_make_one_file(tmp_path: Path) -> None:
    data = os.urandom(300 * KIB)
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take([NewFile("checkpoint/pages-1.img", len(data))])
    for at in range(0, len(data), 70_001):
        writer.take([memoryview(data)[at : at + 70_001]])
    writer.finish({})
    assert (tmp_path / NAME / "checkpoint" / "pages-1.img").read_bytes() == data


def test_zeros_become_holes(tmp_path: Path) -> None:
    data = bytes(256 * KIB) + b"x" * KIB + bytes(8 << 20)
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take(file("checkpoint/pages-1.img", data))
    writer.finish({})
    pages = tmp_path / NAME / "checkpoint" / "pages-1.img"
    assert pages.read_bytes() == data
    assert pages.stat().st_blocks * 512 < 256 * KIB


@given(st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(1, 200 * KIB)), max_size=6))
def test_runs_cover_all_that_is_not_zero(parts: list[tuple[bytes, int]]) -> None:
    data = b"".join(byte * count for byte, count in parts)
    rebuilt = bytearray(len(data))
    last = 0
    for begin, end in dense_runs(memoryview(data)):
        assert last <= begin < end
        rebuilt[begin:end] = data[begin:end]
        last = end
    assert rebuilt == data


def test_large_file_is_handed_to_the_disk_on_the_way(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take([NewFile("checkpoint/pages-1.img", 140 << 20)])
    for _ in range(140):
        writer.take([memoryview(block)])
    writer.finish({})
    assert (tmp_path / NAME / "checkpoint" / "pages-1.img").stat().st_size == 140 << 20


def test_nothing_is_left_of_a_discarded_one(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take([NewFolder("checkpoint"), NewFile("checkpoint/pages-1.img", 10), memoryview(b"half")])
    writer.discard()
    assert list(tmp_path.iterdir()) == []
    # One of them was the listing's own, and is no more.
    opened = [os.readlink(each) for each in list(Path("/proc/self/fd").iterdir()) if each.is_symlink()]
    assert not [each for each in opened if str(tmp_path) in each]


def test_file_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path, DIGEST)
    writer.take([NewFile("status", 10), memoryview(b"half")])
    with pytest.raises(CheckpointFailed):
        writer.finish({})
    writer.discard()


@pytest.mark.parametrize("name", ["a/b/c.img", "checkpoint/", "../x", "/etc/x"])
def test_names_deeper_than_the_rules_allow_are_refused_here_too(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "images"
    inside.mkdir()
    writer = ImageWriter(inside, DIGEST)
    with pytest.raises((CheckpointFailed, OSError)):
        writer.take(file(name, b"x"))
    writer.discard()
    assert list(tmp_path.iterdir()) == [inside]
    assert list(inside.iterdir()) == []


def test_data_without_a_file_or_beyond_its_size_is_refused(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path, DIGEST)
    with pytest.raises(CheckpointFailed):
        writer.take([memoryview(b"x")])
    with pytest.raises(CheckpointFailed):
        writer.take([NewFile("status", 1), memoryview(b"xx")])
    writer.discard()


class TestLinksInTheWay:
    """Somebody else with root's rights on the node put a link where a file or folder is to be made."""

    def test_link_in_a_files_place(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        writer = ImageWriter(tmp_path, DIGEST)
        (making,) = tmp_path.glob(".making-*")
        (making / "status").symlink_to(victim)
        with pytest.raises(FileExistsError):
            writer.take(file("status", b"overwritten"))
        writer.discard()
        assert victim.read_text() == "untouched"

    def test_link_in_a_folders_place(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        writer = ImageWriter(tmp_path, DIGEST)
        (making,) = tmp_path.glob(".making-*")
        (making / "checkpoint").symlink_to(elsewhere)
        with pytest.raises(FileExistsError):
            writer.take(file("checkpoint/core-1.img", b"x"))
        writer.discard()
        assert list(elsewhere.iterdir()) == []

    def test_link_in_the_place_of_a_folder_that_was_made(self, tmp_path: Path) -> None:
        """The descriptor is held: a later exchange of the name leads nowhere."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        writer = ImageWriter(tmp_path, DIGEST)
        writer.take([NewFolder("checkpoint")])
        (making,) = tmp_path.glob(".making-*")
        (making / "checkpoint").rename(tmp_path / "moved")
        (making / "checkpoint").symlink_to(elsewhere)
        writer.take(file("checkpoint/core-1.img", b"x"))
        writer.discard()
        assert list(elsewhere.iterdir()) == []


def test_second_one_of_a_digest_leaves_the_first(tmp_path: Path) -> None:
    first, second = ImageWriter(tmp_path, DIGEST), ImageWriter(tmp_path, DIGEST)
    first.take(file("status", b"same"))
    second.take(file("status", b"same"))
    first.finish({})
    inode = (tmp_path / NAME).stat().st_ino
    second.finish({})
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]
    assert (tmp_path / NAME).stat().st_ino == inode


def test_sweep_removes_what_was_begun_and_what_was_going(tmp_path: Path) -> None:
    ImageWriter(tmp_path, DIGEST).take([*file("status", b"x"), NewFile("checkpoint/pages-1.img", 5)])
    (tmp_path / ".gone-x").mkdir()
    (tmp_path / NAME).mkdir()
    assert len(sweep(tmp_path)) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_removing_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    remove_folder(tmp_path / NAME)
    remove_folder(tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []
