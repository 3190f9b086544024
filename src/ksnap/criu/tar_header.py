"""One header block of a tar: POSIX ustar with PAX records, and GNU's long names, as Go's archive/tar writes them.

Follows POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". Only parsing lives here; what is
allowed in a checkpoint archive is decided in `archive_rules`. Whatever two readers could understand differently is
refused here, so that what was checked is what a runtime unpacks.
"""

import struct
from dataclasses import dataclass

from ksnap.errors import CheckpointFailed

BLOCK = 512
REGULAR = ("0", "\0")
FOLDER = "5"
PAX_RECORDS = "x"
GNU_LONG_NAME = "L"
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s")
_CHECKSUM = slice(148, 156)
_POSIX_MAGIC = (b"ustar\0", b"00")
_GNU_MAGIC = (b"ustar ", b" \0")


@dataclass(frozen=True, slots=True)
class TarHeader:
    """The fields that matter for checking a member."""

    name: str
    size: int
    kind: str
    """The type flag."""


def bad_archive(problem: str) -> CheckpointFailed:
    """The error of everything that a checkpoint archive must not be."""
    return CheckpointFailed(
        "The checkpoint archive was refused",
        details=problem,
        hint="Only archives that the node's container runtime wrote are accepted; make a new checkpoint",
    )


def parse_header(block: bytes) -> TarHeader:
    """The header in one block of 512 bytes, its checksum verified."""
    fields = _FIELDS.unpack(block)
    checksum = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    if checksum != _number(fields[6], "checksum"):
        raise bad_archive("a tar header's checksum is wrong")
    magic = (fields[9], fields[10])
    if magic not in (_POSIX_MAGIC, _GNU_MAGIC):
        raise bad_archive("a tar header is neither ustar nor GNU")
    name = _text(fields[0])
    prefix = _text(fields[15]) if magic == _POSIX_MAGIC else ""
    return TarHeader(f"{prefix}/{name}" if prefix else name, _number(fields[4], "size"), fields[7].decode("latin-1"))


def parse_pax(data: bytes) -> dict[str, str]:
    """PAX records: `<length> <keyword>=<value>\\n`, the length counting itself."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit():
            raise bad_archive("a PAX record has no length")
        end = at + int(digits)
        keyword, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n" or not equals or not keyword:
            raise bad_archive("a PAX record is malformed")
        try:
            name = keyword.decode("ascii")
            # Values of extended attributes are binary; all others are UTF-8.
            text = value.decode("latin-1") if name.startswith("SCHILY.xattr.") else value.decode()
        except UnicodeDecodeError:
            raise bad_archive("a PAX record is not text") from None
        if name in records:
            raise bad_archive(f"PAX record {name[:80]!r} stands twice in one header")
        records[name] = text
        at = end
    return records


def pax_size(records: dict[str, str], size: int) -> int:
    """A member's size after its PAX records; the header's own field may not say something else."""
    text = records.get("size")
    if text is None:
        return size
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise bad_archive("a PAX size is not a number")
    if size not in (0, int(text)):
        raise bad_archive("a header and its PAX record give two sizes")
    return int(text)


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode("ascii")
    except UnicodeDecodeError:
        raise bad_archive("a name in a tar header is not ASCII") from None


def _number(field: bytes, what: str) -> int:
    """Octal digits, or GNU's base 256 for numbers that octal cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise bad_archive(f"a tar header's {what} is not a number")
    return int(digits, 8)
