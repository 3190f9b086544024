"""Asks the node's own runc and criu for their versions, without a privilege and without a chroot.

The node's /usr is mounted read-only somewhere else, so a dynamic program would be started with the container's
libraries. It is started through the node's own dynamic loader instead, whose path stands in the program's ELF header
(PT_INTERP), with the node's library folders; a static program is started as it is.
"""

import asyncio
import re
import struct
from collections.abc import Iterable
from pathlib import Path

_FOLDERS = ("local/sbin", "local/bin", "sbin", "bin")
_TIMEOUT_S = 5.0
_PT_INTERP = 3
_VERSION = re.compile(r"(\d+\.\d+(?:\.\d+)?[^\s]*)")


async def node_binary_version(usr: Path, name: str) -> str:
    """The version that `<name> --version` prints on its first line; empty if there is none to run."""
    for folder in _FOLDERS:
        program = usr / folder / name
        if program.is_file():
            return await _version_of(usr, program)
    return ""


async def _version_of(usr: Path, program: Path) -> str:
    argv = await asyncio.to_thread(node_command, usr, program)
    if argv is None:
        return ""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return parse_version(output.decode(errors="replace"))


def parse_version(output: str) -> str:
    """`runc version 1.3.6+ds1` or `Version: 4.2.1` as the bare version."""
    found = _VERSION.search(output.split("\n", 1)[0])
    return found[1] if found else ""


def node_command(usr: Path, program: Path) -> list[str] | None:
    """How to start a node's program from here; None if it is no ELF program (a wrapper script, say)."""
    try:
        with program.open("rb") as file:
            interpreter = elf_interpreter(file.read(64 * 1024))
    except (OSError, ValueError, struct.error):
        return None
    if interpreter is None:
        return [str(program)]
    loader = _below(usr, interpreter)
    if loader is None:
        return None
    return [str(loader), "--library-path", ":".join(map(str, _library_folders(usr))), str(program)]


def elf_interpreter(head: bytes) -> str | None:
    """The PT_INTERP of a 64-bit little-endian ELF file's beginning; None if it is static, ValueError if no ELF."""
    if head[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    for start in range(offset, offset + size * count, size):
        kind, _flags, at, _virtual, _physical, length = struct.unpack_from("<IIQQQQ", head, start)
        if kind == _PT_INTERP:
            return head[at : at + length].rstrip(b"\0").decode()
    return None


def _below(usr: Path, interpreter: str) -> Path | None:
    """`/lib64/ld.so` lies in /usr on every system with a merged /usr; there it is looked for."""
    relative = interpreter.lstrip("/").removeprefix("usr/")
    loader = usr / relative
    return loader if loader.is_file() else None


def _library_folders(usr: Path) -> Iterable[Path]:
    folders = [*sorted((usr / "lib").glob("*-linux-*")), usr / "lib64", usr / "lib"]
    return [each for each in folders if each.is_dir()]
