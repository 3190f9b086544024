"""Which files in the kubelet's folder are ours, and what is refused."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from ksnap.agent.archives import Archives, archive_size, check_container, check_free_space, remove_archive
from ksnap.agent.probe import criu_version_of
from ksnap.errors import CheckpointFailed, InsufficientStorage
from tests.parties.archives import header, small_archive

NAME = "checkpoint-web_shop-app-2026-11-22T10:10:08Z.tar"
ID = "a" * 64


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return Archives(tmp_path, "shop", "web", "app")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (NAME, True),
        ("checkpoint-web_shop-app-2026-11-22T10:10:08+01:00.tar", True),
        # A container whose name begins like ours.
        ("checkpoint-web_shop-app-side-2026-11-22T10:10:08Z.tar", False),
        ("checkpoint-web-2_shop-app-2026-11-22T10:10:08Z.tar", False),
        ("checkpoint-web_shop-2-app-2026-11-22T10:10:08Z.tar", False),
        ("checkpoint-web_shop-app-2026-11-22T10:10:08Z.tar.gz", False),
        ("checkpoint-web_shop-app-.tar", False),
        ("other.tar", False),
    ],
)
def test_only_this_containers_archives_are_ours(archives: Archives, name: str, ours: bool) -> None:  # noqa: FBT001
    assert archives.is_name(name) is ours


def test_new_is_what_was_not_there_before(archives: Archives, tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    before = archives.names()
    (tmp_path / NAME.replace(":08Z", ":09Z")).touch()
    (tmp_path / "checkpoint-other_shop-app-2026-11-22T10:10:09Z.tar").touch()

    assert archives.new_since(before) == [NAME.replace(":08Z", ":09Z")]


def test_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert Archives(tmp_path / "none", "shop", "web", "app").names() == []


@pytest.mark.parametrize("answer", ["/etc/passwd", "/other/" + NAME, "checkpoint.tar", "{folder}/../" + NAME])
def test_answer_that_is_no_archive_of_ours_is_refused(archives: Archives, answer: str) -> None:
    with pytest.raises(CheckpointFailed):
        archives.path_of_answer(answer.format(folder=archives.folder))


def test_link_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / NAME).symlink_to(tmp_path / "target")

    with pytest.raises(CheckpointFailed):
        archive_size(tmp_path / NAME)


def test_removing_twice_is_removing_once(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()

    assert remove_archive(tmp_path / NAME)
    assert not remove_archive(tmp_path / NAME)


def write_archive(path: Path, container_id: str) -> None:
    document = json.dumps({"id": container_id}).encode()
    with tarfile.open(path, "w") as tar:
        big = tarfile.TarInfo("checkpoint/pages-1.img")
        big.size = 100_000
        tar.addfile(big, io.BytesIO(bytes(big.size)))
        member = tarfile.TarInfo("config.dump")
        member.size = len(document)
        tar.addfile(member, io.BytesIO(document))


def test_archive_of_the_meant_container_is_taken(tmp_path: Path) -> None:
    write_archive(tmp_path / NAME, ID)

    check_container(tmp_path / NAME, ID)


def test_archive_of_a_container_that_took_its_place_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / NAME, "b" * 64)

    with pytest.raises(CheckpointFailed, match="Another container"):
        check_container(tmp_path / NAME, ID)


@pytest.mark.parametrize("kind", ["x", "g", "L", "K"])
def test_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: str) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.write(header("PaxHeaders.0/x", 1 << 21, kind, gnu=kind in "LK"))
        file.truncate(1 << 22)

    with pytest.raises(CheckpointFailed, match="was refused"):
        check_container(tmp_path / NAME, ID)


def test_crius_version_is_read_from_its_log(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(small_archive(pages=bytes(100_000)))
    (tmp_path / "none.tar").write_bytes(b"no tar at all" * 100)

    assert criu_version_of(tmp_path / NAME) == "4.2.1"
    assert criu_version_of(tmp_path / "none.tar") == ""


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(CheckpointFailed):
        check_container(tmp_path / NAME, ID)


def test_full_disk_is_told_with_figures(tmp_path: Path) -> None:
    with pytest.raises(InsufficientStorage) as caught:
        check_free_space([tmp_path], wanted_bytes=1 << 60)

    assert "1,152,921,504,606,846,976" in caught.value.details


def test_folder_that_is_not_mounted_counts_for_nothing(tmp_path: Path) -> None:
    check_free_space([tmp_path / "absent"], wanted_bytes=1 << 60)
