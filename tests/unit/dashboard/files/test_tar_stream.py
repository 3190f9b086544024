"""Tars of containers: passed on as they came, or refused. Made by Python's tarfile and by Debian's tar."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.files.tar_stream import TarRefused, TarStream

LONG = "data/" + "/".join(["folder-with-a-long-name"] * 12) + "/file"


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, body: bytes = b"", link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(body), link
    return info, body


def _tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, body in members:
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def _summed(block: bytearray) -> bytes:
    """A header whose checksum is right again."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _streamed(tar: bytes, *, root: str = "data", step: int = 1000) -> bytes:
    stream = TarStream(root)
    out = b"".join(stream.feed(tar[at : at + step]) for at in range(0, len(tar), step))
    stream.finish()
    return out


HARMLESS = (
    _member("data/", tarfile.DIRTYPE),
    _member("data/a", body=b"x" * 700),
    _member("data/empty"),
    _member("data/\u00e9\U0001f600", body=b"y"),
    _member(LONG, body=b"z"),
    _member("data/link", tarfile.SYMTYPE, link="/etc/passwd"),
    _member("data/hard", tarfile.LNKTYPE, link="data/a"),
    _member("data/hard-long", tarfile.LNKTYPE, link=LONG),
)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 511, 512, 513, 100_000])
def test_a_harmless_tar_is_passed_on_as_it_came(form: int, step: int) -> None:
    tar = _tar(*HARMLESS, form=form)
    assert _streamed(tar, step=step) == tar


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_what_debians_tar_writes(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_bytes(b"x" * 100_000)
    (folder / ("long" * 20)).write_text("y")
    (folder / "link").symlink_to("file")
    (folder / "hard").hardlink_to(folder / "file")
    command = ["tar", f"--format={form}", "-cf", "-", "-C", str(tmp_path), "--", "data"]
    tar = subprocess.run(command, capture_output=True, check=True).stdout
    assert _streamed(tar) == tar


@pytest.mark.parametrize(
    "name",
    [
        "other",
        "/data/x",
        "../data",
        "data/../x",
        "data/./x",
        "data//x",
        "dat",
        "database",
        "./data",
        "",
        "data/" + "x" * 5000,
    ],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_elsewhere_is_refused(name: str, form: int) -> None:
    with pytest.raises(TarRefused, match="refused") as refused:
        _streamed(_tar(_member(name, body=b"x"), form=form))
    assert "not below" in refused.value.details


def test_a_prefix_that_readers_understand_differently_is_refused() -> None:
    """GNU's readers ignore the prefix of a header with their magic; the name without it climbs."""
    block = bytearray(tarfile.TarInfo("../../evil").tobuf(format=tarfile.GNU_FORMAT))
    block[345:349] = b"data"
    with pytest.raises(TarRefused) as refused:
        _streamed(_summed(block) + bytes(1024))
    assert "prefix" in refused.value.details


def test_a_name_that_is_split_in_a_prefix_is_passed_on() -> None:
    tar = _tar(_member("data/" + "x" * 90 + "/" + "y" * 60, body=b"z"), form=tarfile.USTAR_FORMAT)
    assert _streamed(tar) == tar


@pytest.mark.parametrize("target", ["/etc/shadow", "../x", "data/../../x", "other"])
def test_a_hard_link_to_elsewhere_is_refused(target: str) -> None:
    with pytest.raises(TarRefused) as refused:
        _streamed(_tar(_member("data/a", tarfile.LNKTYPE, link=target)))
    assert "hard link" in refused.value.details


@pytest.mark.parametrize("through", ["data/l/x", "data/l", "data/l/x/y"])
def test_nothing_is_written_through_a_link(through: str) -> None:
    tar = _tar(_member("data/l", tarfile.SYMTYPE, link="/etc"), _member(through, body=b"x"))
    with pytest.raises(TarRefused) as refused:
        _streamed(tar)
    assert "through a link" in refused.value.details


def test_a_hard_link_to_a_link_is_refused() -> None:
    tar = _tar(_member("data/l", tarfile.SYMTYPE, link="/etc"), _member("data/h", tarfile.LNKTYPE, link="data/l"))
    with pytest.raises(TarRefused):
        _streamed(tar)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_left_out(kind: bytes) -> None:
    name = "data/" + "long" * 60
    tar = _tar(_member("data/a", body=b"1"), _member(name, kind), _member("data/b", body=b"2"))
    with tarfile.open(fileobj=io.BytesIO(_streamed(tar))) as passed:
        assert passed.getnames() == ["data/a", "data/b"]


@pytest.mark.parametrize("kind", [b"S", b"g", b"M", b"V", b"9"])
def test_kinds_that_are_not_expected_are_refused(kind: bytes) -> None:
    info, _ = _member("data/a")
    block = bytearray(info.tobuf(format=tarfile.GNU_FORMAT))
    block[156:157] = kind
    with pytest.raises(TarRefused):
        _streamed(_summed(block) + bytes(1024))


@pytest.mark.parametrize(
    "tar",
    [
        b"",
        b"tar: not found\n",
        b"x" * 2048,
        _tar(*HARMLESS)[:700],
        _tar(*HARMLESS)[:1600],
        _tar(*HARMLESS) + b"#!/bin/sh\n".ljust(512, b"\0"),
        _tar(_member("data/a", tarfile.XHDTYPE, body=b"nonsense")),
        _tar(_member("data/a", tarfile.XHDTYPE, body=b"11 size=-1\n"), _member("data/b")),
        _tar(_member("data/a", tarfile.XHDTYPE, body=b"27 GNU.sparse.name=../evil\n"), _member("data/b")),
        _tar(_member("data/a", tarfile.XHDTYPE, body=b"16 path=../evil\n"), _member("data/b")),
        _tar(_member("data/a", tarfile.GNUTYPE_LONGNAME, body=b"../evil\0"), _member("data/b")),
        _tar(_member("data/a", tarfile.GNUTYPE_LONGNAME, body=b"data/x\0")),
        _tar(_member("data/a", tarfile.GNUTYPE_LONGNAME, body=b"data/" + b"x" * 200_000), _member("data/b")),
        _tar(_member("data/a", tarfile.SYMTYPE, body=b"x", link="b")),
    ],
)
def test_what_is_no_whole_tar_is_refused(tar: bytes) -> None:
    with pytest.raises(TarRefused):
        _streamed(tar)


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_any_bytes_are_refused_or_a_tar(tar: bytes, step: int) -> None:
    stream = TarStream("data")
    try:
        for at in range(0, len(tar), step):
            stream.feed(tar[at : at + step])
        stream.finish()
    except TarRefused:
        return
    assert not tar.strip(b"\0")
