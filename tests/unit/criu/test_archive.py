"""Archives as they stream by: any chunking gives one result, and nothing unusual gets through."""

import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.criu.archive import ArchiveContents, ArchiveReader
from ksnap.criu.archive_rules import ArchiveLimits
from ksnap.errors import CheckpointFailed, TooLarge
from tests.parties.archives import BLOCK, END, Member, criu_images, documents, header, small_archive


def read(data: bytes, *, chunk: int = 1 << 20, limits: ArchiveLimits | None = None, log: bool = False) -> bytes:
    return read_all(data, chunk=chunk, limits=limits, log=log)[0]


def read_all(
    data: bytes, *, chunk: int = 1 << 20, limits: ArchiveLimits | None = None, log: bool = False
) -> tuple[bytes, ArchiveContents]:
    reader = ArchiveReader(limits=limits, include_log=log)
    passed = b"".join(bytes(piece) for at in range(0, len(data), chunk) for piece in reader.feed(data[at : at + chunk]))
    return passed, reader.finish()


def archive(*extra: Member, end: bytes = END) -> bytes:
    return b"".join(member.encode() for member in [*criu_images(), *documents(), *extra]) + end


def refusal(data: bytes, *, limits: ArchiveLimits | None = None) -> str:
    with pytest.raises(CheckpointFailed) as caught:
        read(data, limits=limits)
    assert caught.value.code == "CHECKPOINT_FAILED"
    assert caught.value.hint
    return caught.value.details


def test_whole_archive_passes_unchanged_with_its_log() -> None:
    data = small_archive()
    passed, contents = read_all(data, log=True)
    assert passed == data
    assert contents.left_out == ()
    assert contents.passed_bytes == contents.read_bytes == len(data)


def test_log_is_left_out_and_the_rest_is_a_valid_tar() -> None:
    passed, contents = read_all(small_archive())
    with tarfile.open(fileobj=io.BytesIO(passed)) as tar:
        names = tar.getnames()
    assert "container.log" not in names
    assert {"config.dump", "checkpoint/inventory.img", "status.dump"} <= set(names)
    assert contents.left_out == ("container.log",)
    assert contents.members == len(names)
    assert passed.endswith(END)


def test_documents_are_collected() -> None:
    _, contents = read_all(small_archive(container="cart"))
    assert json.loads(contents.documents["spec.dump"])["annotations"]["io.kubernetes.cri.container-name"] == "cart"
    assert contents.documents["dump.log"].startswith(b"(00.000000) Version: 4.2.1")
    assert set(contents.documents) == {"config.dump", "spec.dump", "status.dump", "status", "stats-dump", "dump.log"}


@given(st.lists(st.integers(min_value=1, max_value=3000), min_size=1, max_size=40), st.booleans())
def test_any_chunking_gives_the_same(sizes: list[int], log: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    data = small_archive(pages=bytes(range(256)) * 5)
    reader = ArchiveReader(include_log=log)
    passed, at, turn = b"", 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        passed += b"".join(bytes(piece) for piece in reader.feed(data[at : at + size]))
        at, turn = at + size, turn + 1
    whole, contents = read_all(data, log=log)
    assert passed == whole
    assert reader.finish() == contents


@given(st.binary(max_size=4096))
def test_arbitrary_bytes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(CheckpointFailed):
        read(data)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_damaged_archive_is_refused_or_still_whole(place: int, value: int) -> None:
    """One changed byte is either in data (and passed on) or makes the archive refused; never another exception."""
    data = bytearray(small_archive())
    data[place % len(data)] = value
    try:
        passed = read(bytes(data), log=True)
    except CheckpointFailed:
        return
    assert passed == data


@pytest.mark.parametrize("cut", [1, 100, 512, 1024, 1025, 1536, 5000])
def test_truncated_archives_are_refused(cut: int) -> None:
    data = small_archive()
    assert "cut off" in refusal(data[:-cut])


def test_an_empty_archive_is_refused() -> None:
    assert "cut off" in refusal(b"")
    assert "config.dump" in refusal(END)


@pytest.mark.parametrize("name", ["config.dump", "dump.log"])
def test_document_is_there_once_it_is_whole_and_all_else_may_be_skipped(name: str) -> None:
    data = small_archive(pages=bytes(100_000))
    _, contents = read_all(data)
    reader, at, fed = ArchiveReader(), 0, 0
    while (found := reader.document(name)) is None:
        reader.feed(data[at : at + BLOCK])
        fed += 1
        at += BLOCK + reader.skippable
        reader.skip()
    assert found == contents.documents[name]
    assert at == reader.read_bytes
    assert fed < 60


def test_an_archive_without_criu_images_is_refused() -> None:
    data = b"".join(member.encode() for member in documents()) + END
    assert "checkpoint/inventory.img" in refusal(data)


@pytest.mark.parametrize("trailer", [b"x" * 512, bytes(511) + b"x", Member("status").encode()])
def test_trailing_garbage_is_refused(trailer: bytes) -> None:
    assert "follows the archive's end" in refusal(small_archive() + trailer)


def test_a_member_after_one_zero_block_is_refused() -> None:
    assert "follows the archive's end" in refusal(archive(end=bytes(BLOCK)) + Member("deleted.files").encode() + END)


def test_zero_padding_as_gnu_tar_writes_it_passes() -> None:
    data = small_archive() + bytes(8192)
    assert read(data, log=True) == data


def test_endless_zero_padding_is_refused() -> None:
    assert "follows the archive's end" in refusal(small_archive() + bytes((1 << 20) + 1))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("1", "hard link"), ("2", "symbolic link"), ("3", "character device"), ("4", "block device"), ("6", "fifo"),
     ("7", "contiguous"), ("S", "sparse"), ("g", "global header"), ("K", "long link"), ("M", "multi-volume"),
     ("V", "volume label"), ("D", "dump folder"), ("N", "old long name")],
)  # fmt: skip
def test_everything_but_files_and_folders_is_refused(kind: str, name: str) -> None:
    member = Member("checkpoint/pages-9.img", kind=kind, link="/etc/passwd")
    assert "neither a regular file nor a folder" in refusal(archive(member)), name


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../config.dump", "checkpoint/../../x.img", "checkpoint//x.img", "checkpoint/./x.img", "//x",
     "checkpoint/..", "./../x", "..", "./", "checkpoint/"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert "is not a plain relative path" in refusal(archive(Member(name)))


@pytest.mark.parametrize(
    "name",
    ["evil.sh", "checkpoint/evil.sh", "checkpoint/.wh.core-1.img", ".wh.status", "checkpoint/a/b.img", "CONFIG.DUMP",
     "checkpoint/core-1.img\n", "volumes/x", "volumes/../x.tar", "checkpoint\\x.img", "config.dump ", "bin/sh"],
)  # fmt: skip
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(CheckpointFailed):
        read(archive(Member(name)))


@pytest.mark.parametrize("name", ["etc/", "checkpoint/sub/", "volumes/x/"])
def test_unknown_folders_are_refused(name: str) -> None:
    assert "does not belong" in refusal(archive(Member(name, kind="5")))


def test_crio_archives_pass() -> None:
    extra = [
        Member("./bind.mounts", b"[]"),
        Member("deleted.files", b"[]"),
        Member("io.kubernetes.cri-o.LogPath", b"x"),
    ]
    passed, contents = read_all(archive(*extra))
    assert contents.left_out == ("container.log", "io.kubernetes.cri-o.LogPath")
    assert b"bind.mounts" in passed


@pytest.mark.parametrize("again", ["config.dump", "./config.dump", "././config.dump"])
def test_a_name_that_stands_twice_is_refused(again: str) -> None:
    assert "stands twice" in refusal(archive(Member(again, b"{}")))


def test_a_folder_with_a_size_is_refused() -> None:
    assert "has a size" in refusal(archive(Member("volumes/", kind="5", size=512)))


def test_a_size_larger_than_the_data_swallows_the_end_and_is_refused() -> None:
    assert "cut off" in refusal(archive(Member("checkpoint/pages-9.img", b"x", size=1 << 40)))


def test_a_size_smaller_than_the_data_is_refused() -> None:
    assert "checksum" in refusal(archive(Member("checkpoint/pages-9.img", b"x" * 2000, size=10)))


def test_a_wrong_checksum_is_refused() -> None:
    block = bytearray(header("status", 0))
    block[0:1] = b"S"
    assert "checksum" in refusal(bytes(block) + END)


def test_a_tar_without_magic_is_refused() -> None:
    block = bytearray(header("config.dump", 0))
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    assert "neither ustar nor GNU" in refusal(bytes(block) + END)


class TestExtendedHeaders:
    def test_pax_path_and_times_are_understood_and_passed_on(self) -> None:
        long = f"checkpoint/pages-{'9' * 120}.img"
        member = Member("x", b"data", pax={"path": long, "mtime": "1.5", "atime": "1", "ctime": "1"})
        data = archive(member)
        assert read(data, log=True) == data
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert long in tar.getnames()

    def test_a_log_hidden_behind_a_pax_path_is_left_out_with_its_header(self) -> None:
        members = [m for m in documents() if m.name != "container.log"]
        hidden = Member("status", b"secret", pax={"path": "container.log"})
        data = b"".join(m.encode() for m in [*criu_images(), hidden, *members]) + END
        passed, contents = read_all(data, chunk=100)
        assert contents.left_out == ("container.log",)
        assert b"secret" not in passed
        assert b"PaxHeaders" not in passed

    def test_pax_size_counts(self) -> None:
        data = archive(Member("checkpoint/pages-9.img", b"x" * 700, size=0, pax={"size": "700"}))
        assert read(data, log=True) == data

    def test_two_sizes_are_refused(self) -> None:
        assert "two sizes" in refusal(archive(Member("checkpoint/pages-9.img", b"x" * 700, pax={"size": "5"})))

    def test_gnu_long_name_is_understood(self) -> None:
        data = archive(Member("x", b"data", long_name=f"checkpoint/pages-{'9' * 120}.img"))
        assert read(data, log=True) == data

    def test_size_in_base_256_counts(self) -> None:
        pages = header("checkpoint/pages-9.img", 8**11 + 512)
        reader = ArchiveReader()
        reader.feed(pages + bytes(1 << 20))
        with pytest.raises(CheckpointFailed, match="refused"):
            reader.finish()

    @pytest.mark.parametrize(
        "name",
        ["linkpath", "GNU.sparse.major", "GNU.sparse.name", "SCHILY.xattr.trusted.overlay.redirect",
         "SCHILY.xattr.user.x", "LIBARCHIVE.symlinktype", "hdrcharset"],
    )  # fmt: skip
    def test_records_that_make_a_file_something_else_are_refused(self, name: str) -> None:
        assert "is not allowed" in refusal(archive(Member("checkpoint/pages-9.img", pax={name: "1"})))

    @pytest.mark.parametrize("name", ["path", "size", "mtime", "SCHILY.xattr.security.selinux"])
    def test_empty_records_are_refused(self, name: str) -> None:
        """Go goes by the header's own field then: the root folder for us would be /evil for the runtime."""
        assert "is empty" in refusal(archive(Member("../../../evil/", kind="5", pax={name: ""})))

    def test_security_attributes_pass(self) -> None:
        member = Member("checkpoint/pages-9.img", pax={"SCHILY.xattr.security.selinux": "x"})
        assert read(archive(member), log=True) == archive(member)

    @pytest.mark.parametrize(
        "records", [b"", b"x", b"5 a=b\n", b"99999 path=x\n", b"6 path\n", b"8 path=xy", b"-1 a=b\n", b"0 a=b\n",
                    b"3 \n\n", b"9 path=\xff\n", b"9 size=1\n9 size=2\n"],
    )  # fmt: skip
    def test_malformed_records_are_refused(self, records: bytes) -> None:
        block = header("PaxHeaders.0/x", len(records), "x")
        data = block + records + bytes(-len(records) % BLOCK) + Member("status").encode() + END
        refusal(data)

    def test_two_extended_headers_of_a_kind_are_refused(self) -> None:
        record = b"9 size=0\n"
        block = header("PaxHeaders.0/x", len(record), "x") + record + bytes(BLOCK - len(record))
        assert "twice" in refusal(block + block + Member("status").encode() + END)

    def test_a_huge_extended_header_is_refused_before_it_is_read(self) -> None:
        assert "too large" in refusal(header("PaxHeaders.0/x", 1 << 30, "x"))

    def test_an_extended_header_without_a_member_is_refused(self) -> None:
        record = b"9 size=0\n"
        block = header("PaxHeaders.0/x", len(record), "x") + record + bytes(BLOCK - len(record))
        assert "no member" in refusal(archive(end=block + END))


class TestLimits:
    def test_total(self) -> None:
        with pytest.raises(TooLarge) as caught:
            read(small_archive(), chunk=1000, limits=ArchiveLimits(max_bytes=5000))
        assert caught.value.status == 413

    def test_a_large_document_is_refused_by_its_header(self) -> None:
        assert "'spec.dump' has 1000" in refusal(
            Member("spec.dump", b"x" * 1000).encode(), limits=ArchiveLimits(max_document_bytes=999)
        )

    def test_members(self) -> None:
        assert "more than 5 members" in refusal(small_archive(), limits=ArchiveLimits(max_members=5))


def test_large_data_is_passed_on_without_a_copy() -> None:
    reader = ArchiveReader()
    reader.feed(header("checkpoint/pages-1.img", 1 << 20))
    chunk = bytes(1 << 19)
    (piece,) = reader.feed(chunk)
    assert isinstance(piece, memoryview)
    assert piece.obj is chunk
