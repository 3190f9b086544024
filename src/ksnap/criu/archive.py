"""A checkpoint archive, checked member by member while it streams by (decision 6), and never extracted.

`ArchiveReader.feed` takes chunks of any size and returns what to pass on: slices of the chunk itself wherever
possible, so that the work per chunk does not grow with its size. Members may be left out; what is passed on is a valid
tar then as well. Memory is bounded by the limits: the documents, the members' names, one header.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Protocol

from ksnap.criu import archive_rules as rules
from ksnap.criu.archive_rules import ArchiveLimits
from ksnap.criu.tar_header import (
    BLOCK,
    FOLDER,
    GNU_LONG_NAME,
    PAX_RECORDS,
    TarHeader,
    bad_archive,
    parse_header,
    parse_pax,
    pax_size,
)

_ZEROS = bytes(BLOCK)
# PAX headers hold names, times and a few attributes: some hundred bytes.
_MAX_EXTENSION = 64 * 1024
# GNU tar pads to 10 KiB; more zeros than this at the end are no padding.
_MAX_TRAILER = 1 << 20
_LOG_HEAD = 16 * 1024
_COLLECTED_WHOLE = frozenset(
    {
        rules.CONFIG_DUMP,
        rules.SPEC_DUMP,
        rules.STATUS_DUMP,
        rules.CONTAINERD_STATUS,
        rules.STATS_DUMP,
        rules.FREEZE_MARK,
    }
)
_REQUIRED = (rules.CONFIG_DUMP, rules.SPEC_DUMP, rules.INVENTORY)

Piece = memoryview | bytes


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """What a whole archive turned out to be."""

    read_bytes: int
    passed_bytes: int
    members: int
    """Members passed on."""
    left_out: tuple[str, ...]
    documents: Mapping[str, bytes]
    """The small members that annotations are made of, whole; of dump.log its head."""


class Members(Protocol):
    """Who is told of the members that are passed on, as they are checked: by the one parser, so nobody parses twice."""

    def began(self, name: str, size: int, *, folder: bool) -> None:
        """A member whose header was allowed; its name is plain and relative, empty for the archive's own root."""

    def data(self, piece: memoryview) -> None:
        """The next bytes of the member that began last; padding is not among them."""


class _Sink(Enum):
    """Where the bytes that follow a header go."""

    PASS = auto()
    DROP = auto()
    EXTENSION = auto()
    """A PAX or long-name header: held back until the member that it belongs to is known."""


@dataclass(slots=True)
class _Extensions:
    """What the headers before a member's own said of it."""

    long_name: str | None = None
    records: dict[str, str] | None = None
    held: bytearray = field(default_factory=bytearray)


class ArchiveReader:
    """One archive; feed it all chunks, then call `finish`. After an error it must not be used any further."""

    def __init__(
        self, *, limits: ArchiveLimits | None = None, include_log: bool = False, members: Members | None = None
    ) -> None:
        self._limits = limits or ArchiveLimits()
        self._members = members
        self._leave_out = {rules.FREEZE_MARK} | (frozenset() if include_log else rules.LOG_NAMES)
        self._read = 0
        self._passed = 0
        self._block = bytearray()
        self._left = 0
        self._unpadded = 0
        self._sink = _Sink.PASS
        self._extensions = _Extensions()
        self._extension_header: TarHeader | None = None
        self._extension_data = bytearray()
        self._names: set[str] = set()
        self._left_out: list[str] = []
        self._documents: dict[str, bytearray] = {}
        self._collecting: tuple[bytearray, int] | None = None
        self._zero_blocks = 0
        self._trailer = 0

    @property
    def read_bytes(self) -> int:
        return self._read

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Piece]:
        """Check the next bytes; the pieces to pass on, which may be views of `chunk`."""
        view = memoryview(chunk)
        self._read += len(view)
        rules.check_total(self._read, self._limits)
        pieces: list[Piece] = []
        at = 0
        while at < len(view):
            at += self._take(view[at:], pieces)
        self._passed += sum(len(piece) for piece in pieces)
        return pieces

    @property
    def skippable(self) -> int:
        """Bytes of the present member that follow and are not looked at: who can seek may `skip` them."""
        return 0 if self._sink is _Sink.EXTENSION or _is_incomplete(self._collecting) else self._left

    def skip(self) -> None:
        """Take the present member's bytes as read, though they were not fed: for a look at some documents only."""
        self._read += self.skippable
        self._left -= self.skippable

    def document(self, name: str) -> bytes | None:
        """A member that is collected, as soon as it is; None before, and where there is none."""
        found, present = self._documents.get(name), self._collecting
        if found is None or (present is not None and present[0] is found and _is_incomplete(present)):
            return None
        return bytes(found)

    def finish(self) -> ArchiveContents:
        """The archive's end: refused if it is cut off or lacks what every checkpoint has."""
        if self._zero_blocks < 2 or self._left or self._block:
            raise bad_archive(f"the archive is cut off after {self._read} bytes")
        missing = [name for name in _REQUIRED if name not in self._names]
        if missing:
            raise bad_archive(f"the archive has no {missing[0]}")
        return ArchiveContents(
            read_bytes=self._read,
            passed_bytes=self._passed,
            members=len(self._names) - len(self._left_out),
            left_out=tuple(self._left_out),
            documents={name: bytes(data) for name, data in self._documents.items()},
        )

    def _take(self, view: memoryview, pieces: list[Piece]) -> int:
        """Take what belongs together from the front of `view`; how much that was."""
        if self._left:
            return self._take_data(view, pieces)
        if self._zero_blocks == 2:
            return self._take_trailer(view, pieces)
        taken = view[: BLOCK - len(self._block)]
        self._block += taken
        if len(self._block) == BLOCK:
            block = bytes(self._block)
            self._block.clear()
            self._take_block(block, pieces)
        return len(taken)

    def _take_data(self, view: memoryview, pieces: list[Piece]) -> int:
        piece = view[: self._left]
        self._left -= len(piece)
        if self._sink is _Sink.EXTENSION:
            self._extension_data += piece
            if not self._left:
                self._end_extension()
            return len(piece)
        if self._collecting is not None:
            collected, wanted = self._collecting
            collected += piece[: wanted - len(collected)]
        if self._sink is _Sink.PASS:
            pieces.append(piece)
            self._tell(piece)
        return len(piece)

    def _tell(self, piece: memoryview) -> None:
        data = piece[: self._unpadded]
        self._unpadded -= len(data)
        if self._members is not None and data:
            self._members.data(data)

    def _take_trailer(self, view: memoryview, pieces: list[Piece]) -> int:
        self._trailer += len(view)
        if self._trailer > _MAX_TRAILER or bytes(view).strip(b"\0"):
            raise bad_archive("something follows the archive's end")
        pieces.append(view)
        return len(view)

    def _take_block(self, block: bytes, pieces: list[Piece]) -> None:
        if block == _ZEROS:
            if self._extension_header is not None:
                raise bad_archive("an extended header has no member")
            self._zero_blocks += 1
            pieces.append(block)
            return
        if self._zero_blocks:
            raise bad_archive("a member follows the archive's end")
        header = parse_header(block)
        if header.kind in (PAX_RECORDS, GNU_LONG_NAME):
            self._begin_extension(header, block)
        else:
            self._begin_member(header, block, pieces)

    def _begin_extension(self, header: TarHeader, block: bytes) -> None:
        known = self._extensions
        again = known.records is not None if header.kind == PAX_RECORDS else known.long_name is not None
        if again or not 0 < header.size <= _MAX_EXTENSION:
            raise bad_archive("an extended header stands twice, is empty or too large")
        known.held += block
        self._extension_header = header
        self._extension_data.clear()
        self._sink = _Sink.EXTENSION
        self._left = _padded(header.size)

    def _end_extension(self) -> None:
        header, known = self._extension_header, self._extensions
        if header is None:
            return
        known.held += self._extension_data
        data = bytes(self._extension_data[: header.size])
        if header.kind == PAX_RECORDS:
            known.records = parse_pax(data)
            rules.check_pax(known.records)
        else:
            known.long_name = data.partition(b"\0")[0].decode("latin-1")

    def _begin_member(self, header: TarHeader, block: bytes, pieces: list[Piece]) -> None:
        extensions, self._extensions, self._extension_header = self._extensions, _Extensions(), None
        header = _merged(header, extensions)
        name = rules.member_name(header, self._limits)
        if name in self._names:
            raise bad_archive(f"{name!r} stands twice")
        if len(self._names) >= self._limits.max_members:
            raise bad_archive(f"the archive has more than {self._limits.max_members} members")
        self._names.add(name)
        self._left = _padded(header.size)
        self._collecting = self._collector(name, header) if header.kind != FOLDER else None
        if name in self._leave_out:
            self._left_out.append(name)
            self._sink = _Sink.DROP
            return
        self._sink = _Sink.PASS
        self._unpadded = header.size
        if self._members is not None:
            self._members.began(name, header.size, folder=header.kind == FOLDER)
        pieces.append(bytes(extensions.held) + block)

    def _collector(self, name: str, header: TarHeader) -> tuple[bytearray, int] | None:
        if name == rules.DUMP_LOG:
            wanted = min(header.size, _LOG_HEAD)
        elif name in _COLLECTED_WHOLE:
            wanted = header.size
        else:
            return None
        self._documents[name] = bytearray()
        return self._documents[name], wanted


def _merged(header: TarHeader, extensions: _Extensions) -> TarHeader:
    """A member's header after what its extended headers say."""
    records = extensions.records or {}
    path = records.get("path")
    if path is not None and extensions.long_name is not None:
        raise bad_archive("a member has two long names")
    name = path if path is not None else extensions.long_name
    return replace(header, name=header.name if name is None else name, size=pax_size(records, header.size))


def _is_incomplete(collecting: tuple[bytearray, int] | None) -> bool:
    return collecting is not None and len(collecting[0]) < collecting[1]


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK
