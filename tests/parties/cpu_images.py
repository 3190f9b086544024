"""A frozen process that asks for more of a processor than any has: CRIU's cpuinfo.img with one more instruction set.

The image is CRIU's (criu/images/cpuinfo.proto): two magic numbers, then entries of a length and a protobuf message,
`repeated cpuinfo_x86_entry x86_entry = 1` with `repeated uint32 capability = 6`, of which each word holds 32 of the
kernel's feature bits. 3DNow! (bit 31 of word 1) was given up by its inventor with the K10; CRIU compares it.
"""

from collections.abc import Iterator

NAME = "checkpoint/cpuinfo.img"
_MAGIC_BYTES = 8
_ENTRY, _CAPABILITY = 1, 6
_WORD, _BIT = 1, 31
_VARINT, _LENGTH = 0, 2


def with_unknown_instructions(members: dict[str, bytes]) -> None:
    """Change an archive's members so."""
    image = members[NAME]
    size = int.from_bytes(image[_MAGIC_BYTES : _MAGIC_BYTES + 4], "little")
    begin = _MAGIC_BYTES + 4
    message = b"".join(
        _field(number, kind, _with_bit(value) if number == _ENTRY and isinstance(value, bytes) else value)
        for number, kind, value in _fields(image[begin : begin + size])
    )
    members[NAME] = image[:_MAGIC_BYTES] + len(message).to_bytes(4, "little") + message + image[begin + size :]


def _with_bit(entry: bytes) -> bytes:
    words, changed = 0, b""
    for number, kind, value in _fields(entry):
        new = value
        if number == _CAPABILITY and isinstance(value, int):
            new = value | 1 << _BIT if words == _WORD else value
            words += 1
        changed += _field(number, kind, new)
    assert words > _WORD, "the image names no capabilities"
    return changed


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type, value; protobuf's two wire types that this image uses."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == _LENGTH:
            yield tag >> 3, _LENGTH, message[at : at + value]
            at += value
        else:
            assert tag & 7 == _VARINT, f"wire type {tag & 7}"
            yield tag >> 3, _VARINT, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _field(number: int, kind: int, value: int | bytes) -> bytes:
    tag = _encoded(number << 3 | kind)
    return tag + (_encoded(len(value)) + value if isinstance(value, bytes) else _encoded(value))


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
