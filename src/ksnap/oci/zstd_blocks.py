"""A zstd stream cut between blocks, so that decompressing one cut yields a bounded number of bytes (RFC 8878, 3.1.1).

A few compressed bytes may stand for gigabytes, and a decompressor returns all that its input holds. A block holds
128 KiB at most; whoever is handed some blocks at a time keeps memory constant, whatever the stream is.
"""

import zstandard

from ksnap.errors import InvalidInput

# A cut decompresses to 512 KiB at most: with 1 MiB a download took 5 MiB more, and twice as long.
_BLOCKS_PER_CUT = 4
# RFC 8878, 3.1.1.1: magic number, descriptor, window, dictionary, content size.
_LONGEST_HEADER = 18
_RLE, _RESERVED = 1, 3


class BlockCutter:
    """One zstd stream; feed it all chunks, then `finish`. The cuts joined are the stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_frame = False
        self._checksum = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The next compressed bytes: the cuts that are whole by now."""
        self._buffer += chunk
        cuts: list[bytes] = []
        start = at = blocks = 0
        while (size := self._next_part(at)) is not None:
            at += size
            blocks += 1
            if blocks == _BLOCKS_PER_CUT:
                cuts.append(bytes(memoryview(self._buffer)[start:at]))
                start, blocks = at, 0
        if at > start:
            cuts.append(bytes(memoryview(self._buffer)[start:at]))
        del self._buffer[:at]
        return cuts

    def finish(self) -> bytes:
        """The rest: a frame shorter than the longest header. A stream that ends in the middle is InvalidInput."""
        if self._in_frame:
            raise InvalidInput("The compressed archive is cut off")
        return bytes(self._buffer)

    def _next_part(self, at: int) -> int | None:
        """The size of the frame header or block at this place; None until it is whole."""
        left = len(self._buffer) - at
        if not self._in_frame:
            if left < _LONGEST_HEADER:
                return None
            return self._frame_header(bytes(self._buffer[at : at + _LONGEST_HEADER]))
        if left < 3:
            return None
        header = int.from_bytes(self._buffer[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise InvalidInput("The compressed archive is damaged", details="a zstd block of a reserved type")
        whole = 3 + (1 if kind == _RLE else size) + (self._checksum if last else 0)
        if left < whole:
            return None
        self._in_frame = not last
        return whole

    def _frame_header(self, data: bytes) -> int:
        try:
            size = zstandard.frame_header_size(data)
            self._checksum = 4 if zstandard.get_frame_parameters(data).has_checksum else 0
        except zstandard.ZstdError as error:
            raise InvalidInput("The compressed archive is damaged", details=str(error)) from error
        self._in_frame = True
        return size
