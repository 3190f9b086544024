"""A tar from a container, checked while it streams by: whoever unpacks it writes nowhere else. Pure.

The container may be hostile, and its `tar` too. Each member's name must lie at or below the name that was asked for,
must not climb, and must not lead through a link that is in the tar itself; so must the target of a hard link. Devices
and pipes are left out, as `kubectl cp` leaves them out. All else is passed on as it came. Headers are read by the
standard library's tarfile; long names are PAX's or GNU's (POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format").
"""

import re
import tarfile
from dataclasses import dataclass, field

from ksnap.errors import KsnapError

BLOCK = tarfile.BLOCKSIZE
_ZEROS = bytes(BLOCK)
# Long names and PAX records; PATH_MAX is 4 KiB, extended attributes some more.
_MAX_EXTENSION = 128 * 1024
# Links are remembered, so that nothing is written through them.
_MAX_LINKS = 100_000
_MAX_PATH = 4096
_PASSED = frozenset(
    {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE}
)
_LEFT_OUT = frozenset({tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE})
_WITHOUT_DATA = frozenset({tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE}) | _LEFT_OUT
_EXTENSIONS = frozenset({tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_MAGIC = slice(257, 263)
_PREFIX = slice(345, 500)
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=\n]+)=")


class TarRefused(KsnapError):
    """What came is no tar that may be passed on."""

    status = 502

    def __init__(self, problem: str) -> None:
        super().__init__("The container sent a tar that was refused", details=problem)


@dataclass(slots=True)
class _Extension:
    """What the headers before a member's own say of it, held back until it is known whether it is passed on."""

    held: list[bytes] = field(default_factory=list)
    name: str | None = None
    link: str | None = None
    size: int | None = None


class TarStream:
    """One tar; feed it all that comes, then call `finish`. After an error it is of no use any more."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._block = bytearray()
        self._left = 0
        self._passing = True
        self._extension = _Extension()
        self._extending: tarfile.TarInfo | None = None
        self._extension_data = bytearray()
        self._links: set[str] = set()
        self._ended = False
        self.members = 0
        """Members that were passed on."""

    def feed(self, chunk: bytes) -> bytes:
        """What of it may be passed on, now that it is known."""
        out: list[bytes] = []
        at = 0
        while at < len(chunk):
            if self._left:
                piece = chunk[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._body(piece, out)
                continue
            piece = chunk[at : at + BLOCK - len(self._block)]
            at += len(piece)
            self._block += piece
            if len(self._block) == BLOCK:
                block = bytes(self._block)
                self._block.clear()
                self._header(block, out)
        return b"".join(out)

    def finish(self) -> None:
        """TarRefused unless the tar is whole."""
        if not self._ended or self._left or self._block or self._extending is not None:
            raise TarRefused("it ends in the middle")

    def _body(self, piece: bytes, out: list[bytes]) -> None:
        if self._extending is not None:
            self._extension_data += piece
            if not self._left:
                self._extended()
        elif self._passing:
            out.append(piece)

    def _header(self, block: bytes, out: list[bytes]) -> None:
        if block == _ZEROS:
            if self._extension.held:
                raise TarRefused("a long name belongs to no member")
            self._ended = True
            out.append(block)
            return
        if self._ended:
            raise TarRefused("something comes after its end")
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TarRefused(f"a header is not valid: {error}") from error
        if header.type in _EXTENSIONS:
            self._begin_extension(header, block)
        else:
            self._member(header, block, out)

    def _begin_extension(self, header: tarfile.TarInfo, block: bytes) -> None:
        if not 0 < header.size <= _MAX_EXTENSION or sum(map(len, self._extension.held)) > _MAX_EXTENSION:
            raise TarRefused("a long name is too long")
        self._extending = header
        self._extension.held.append(block)
        self._left = _padded(header.size)

    def _extended(self) -> None:
        header, data = self._extending, bytes(self._extension_data)
        assert header is not None  # noqa: S101 - for the type checker: bytes are collected only of one
        self._extending = None
        self._extension_data.clear()
        extension = self._extension
        extension.held.append(data)
        content = data[: header.size]
        match header.type:
            case tarfile.GNUTYPE_LONGNAME:
                extension.name = _text(content.partition(b"\0")[0])
            case tarfile.GNUTYPE_LONGLINK:
                extension.link = _text(content.partition(b"\0")[0])
            case _:
                records = _pax_records(content)
                extension.name = records.get("path", extension.name)
                extension.link = records.get("linkpath", extension.link)
                if "size" in records:
                    extension.size = _number(records["size"])

    def _member(self, header: tarfile.TarInfo, block: bytes, out: list[bytes]) -> None:
        extension, self._extension = self._extension, _Extension()
        if header.type not in _PASSED | _LEFT_OUT:
            raise TarRefused(f"a member is of a kind that is not expected: {header.type!r}")
        size = header.size if extension.size is None else extension.size
        if size < 0 or (size and header.type in _WITHOUT_DATA):
            raise TarRefused("a member's size is not possible")
        if block[_MAGIC] != tarfile.POSIX_MAGIC[:6] and any(block[_PREFIX]):
            raise TarRefused("a header has a prefix that some readers take for a part of its name and others do not")
        name = header.name if extension.name is None else extension.name
        self._check(name, "member")
        if header.type == tarfile.LNKTYPE:
            self._check(header.linkname if extension.link is None else extension.link, "hard link's target")
        self._left = _padded(size)
        self._passing = header.type in _PASSED
        if not self._passing:
            return
        if header.type == tarfile.SYMTYPE:
            self._remember(name)
        self.members += 1
        out += [*extension.held, block]

    def _check(self, name: str, what: str) -> None:
        parts = name.rstrip("/").split("/")
        if len(name) > _MAX_PATH or parts[0] != self._root or not {"", ".", ".."}.isdisjoint(parts):
            raise TarRefused(f"a {what} is called {name[:200]!r}, which is not below {self._root[:200]!r}")
        if self._links and any("/".join(parts[:end]) in self._links for end in range(1, len(parts) + 1)):
            raise TarRefused(f"a {what} is called {name[:200]!r}, which leads through a link of the same tar")

    def _remember(self, link: str) -> None:
        if len(self._links) >= _MAX_LINKS:
            raise TarRefused(f"it holds more than {_MAX_LINKS} links")
        self._links.add(link.rstrip("/"))


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise TarRefused("a PAX size is not a number")
    return int(text)


def _pax_records(data: bytes) -> dict[str, str]:
    """`<length> <keyword>=<value>\\n`, the length counting itself; of a keyword that comes twice, the last."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        found = _PAX_RECORD.match(data, at)
        end = at + int(found[1]) if found else 0
        if found is None or end > len(data) or end <= found.end() or data[end - 1 : end] != b"\n":
            raise TarRefused("a PAX record is malformed")
        keyword = _text(found[2])
        if keyword.startswith("GNU.sparse."):
            raise TarRefused("a member is sparse, whose real name and size are not checked")
        records[keyword] = _text(data[found.end() : end - 1])
        at = end
    return records
