"""Versions of a node's programs, and how such a program is started from here. Run on this machine's own programs."""

import struct
from pathlib import Path

import pytest

from ksnap.agent.node_binaries import elf_interpreter, node_binary_version, node_command, parse_version

USR = Path("/usr")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("runc version 1.3.6+ds1\ncommit: 1.3.6+ds1-1\nspec: 1.2.0\n", "1.3.6+ds1"),
        ("runc version 1.1.12\n", "1.1.12"),
        ("Version: 4.2.1\nGitID: v4.2\n", "4.2.1"),
        ("Version: 3.19\n", "3.19"),
        ("command not found\n", ""),
        ("", ""),
    ],
)
def test_version_is_cut_out_of_the_first_line(output: str, version: str) -> None:
    assert parse_version(output) == version


def test_dynamic_program_runs_through_its_own_loader() -> None:
    command = node_command(USR, USR / "bin" / "bash")

    assert command is not None
    assert "ld-" in command[0]
    assert command[1] == "--library-path"
    assert command[-1] == "/usr/bin/bash"


def test_script_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "criu").write_text("#!/bin/sh\nexec criu.real\n")

    assert node_command(USR, tmp_path / "criu") is None


async def test_version_of_a_dynamic_program_is_learned() -> None:
    assert parse_version("GNU bash, version 5.2.15(1)-release") != ""
    assert (await node_binary_version(USR, "bash")).startswith("5.")


async def test_absent_program_has_no_version(tmp_path: Path) -> None:
    assert await node_binary_version(tmp_path, "runc") == ""


def test_truncated_program_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "criu").write_bytes(b"\x7fELF\x02\x01" + bytes(20))

    assert node_command(USR, tmp_path / "criu") is None


def test_static_program_has_no_interpreter() -> None:
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 1)
    load = struct.pack("<IIQQQQQQ", 1, 0, 0, 0, 0, 0, 0, 0)

    assert elf_interpreter(bytes(header) + load) is None


@pytest.mark.parametrize("head", [b"", b"#!/bin/sh", b"\x7fELF\x01\x01" + bytes(60)])
def test_anything_else_is_no_elf(head: bytes) -> None:
    with pytest.raises(ValueError, match="ELF"):
        elf_interpreter(head)
