"""An archive as steps: what they make is what a tar reader finds, for any chunking; what is refused makes no step."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.criu.unpacking import ArchiveUnpacker, NewFile, NewFolder, Step
from ksnap.errors import CheckpointFailed
from tests.parties.archives import END, Member, criu_images, documents, small_archive


def unpack(data: bytes, *, chunk: int = 1 << 20) -> tuple[dict[str, bytes], list[str]]:
    """Files and folders, put together as a writer would."""
    unpacker = ArchiveUnpacker()
    steps: list[Step] = []
    for at in range(0, len(data), chunk):
        steps += unpacker.feed(data[at : at + chunk])
    unpacker.finish()
    return made(steps)


def made(steps: list[Step]) -> tuple[dict[str, bytes], list[str]]:
    files: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    folders: list[str] = []
    name = ""
    for step in steps:
        match step:
            case NewFolder():
                folders.append(step.name)
            case NewFile():
                assert not name or len(files[name]) == sizes[name], "a file began before the last one was whole"
                name = step.name
                files[name], sizes[name] = b"", step.size
            case memoryview():
                files[name] += step
    assert {each: len(data) for each, data in files.items()} == sizes
    return files, folders


def by_tarfile(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isreg()}  # type: ignore[union-attr]


def archive(*extra: Member) -> bytes:
    return b"".join(member.encode() for member in [*criu_images(), *documents(), *extra]) + END


def test_steps_make_what_a_tar_reader_finds() -> None:
    data = small_archive()
    files, folders = unpack(data)
    assert files == by_tarfile(data)
    assert "container.log" in files, "nothing is left out: the digest is over all of it"
    assert folders == ["checkpoint"]


@given(st.integers(min_value=1, max_value=3000), st.binary(max_size=3000))
def test_any_chunking_makes_the_same(chunk: int, pages: bytes) -> None:
    data = small_archive(pages=pages)
    assert unpack(data, chunk=chunk) == unpack(data)


def test_long_names_and_pax_sizes_are_those_that_were_checked() -> None:
    long = f"checkpoint/pages-{'9' * 120}.img"
    members = [
        Member("x", b"one", pax={"path": long}),
        Member("y", b"two" * 300, size=0, pax={"path": "checkpoint/pages-8.img", "size": "900"}),
        Member("z", b"three", long_name=f"checkpoint/pages-{'8' * 120}.img"),
        Member("./deleted.files", b"[]"),
    ]
    files, _ = unpack(archive(*members), chunk=100)
    assert files[long] == b"one"
    assert files["checkpoint/pages-8.img"] == b"two" * 300
    assert files[f"checkpoint/pages-{'8' * 120}.img"] == b"three"
    assert files["deleted.files"] == b"[]"


def test_the_archives_root_is_no_folder_to_make() -> None:
    _, folders = unpack(Member("./", kind="5").encode() + archive())
    assert folders == ["checkpoint"]


@pytest.mark.parametrize("kind", ["1", "2", "3", "4", "6", "7", "S"])
def test_what_is_no_file_makes_no_step(kind: str) -> None:
    unpacker = ArchiveUnpacker()
    with pytest.raises(CheckpointFailed):
        unpacker.feed(Member("checkpoint/pages-9.img", kind=kind, link="/etc/passwd").encode())


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.img", "checkpoint/../../etc/passwd", "image.json", "bin/sh"])
def test_names_that_are_not_known_make_no_step(name: str) -> None:
    unpacker = ArchiveUnpacker()
    with pytest.raises(CheckpointFailed):
        unpacker.feed(Member(name, b"x").encode())


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_one_changed_byte_is_refused_or_data(place: int, value: int) -> None:
    """Never a name that was not checked, never bytes beyond a file's size."""
    data = bytearray(small_archive())
    data[place % len(data)] = value
    try:
        files, _ = unpack(bytes(data), chunk=777)
    except CheckpointFailed:
        return
    assert files.keys() == by_tarfile(small_archive()).keys()
