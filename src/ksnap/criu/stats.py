"""CRIU's own figures of a dump, out of `stats-dump` (CRIU: criu/stats.c, images/stats.proto).

The file is one entry behind two magics; of its protobuf message two numbers are wanted, so the few rules of that format
that they need stand here, and no compiled description of it.
"""

import struct

_MAGICS = struct.pack("<II", 0x55105940, 0x57093306)
_LENGTH = struct.Struct("<I")
_VARINT, _BYTES = 0, 2
_DUMP_ENTRY = 1
_FROZEN_TIME = 2


def frozen_us(document: bytes) -> int | None:
    """Microseconds for which the processes stood still; None where the file does not say."""
    start = len(_MAGICS) + _LENGTH.size
    if not document.startswith(_MAGICS) or len(document) < start:
        return None
    (length,) = _LENGTH.unpack_from(document, len(_MAGICS))
    dump = _field(document[start : start + length], _DUMP_ENTRY)
    found = _field(dump, _FROZEN_TIME) if isinstance(dump, bytes) else None
    return found if isinstance(found, int) else None


def _field(message: bytes, wanted: int) -> int | bytes | None:
    """The first field of this number. Fields are varints or bytes here; with anything else nothing is promised."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            if number == wanted:
                return message[at : at + value]
            at += value
        elif kind != _VARINT:
            return None
        elif number == wanted:
            return value
    return None


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(message)
