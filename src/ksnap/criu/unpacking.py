"""An archive on its way to becoming files: what to make, step by step, as the bytes stream by. Pure: it makes nothing.

The steps come from `ArchiveReader` itself, so that what is written is what was checked: there is no second parser that
could see another name or another end. Whoever writes must still not follow links: a name is checked here, the place
that it names is not.
"""

from dataclasses import dataclass

from ksnap.criu.archive import ArchiveContents, ArchiveReader
from ksnap.criu.archive_rules import ArchiveLimits


@dataclass(frozen=True, slots=True)
class NewFolder:
    """`checkpoint` or `volumes`; the archive's own root is no step."""

    name: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of so many bytes; they follow as pieces, and nothing else before they are all there."""

    name: str
    size: int


Step = NewFolder | NewFile | memoryview
"""What to make, or the next bytes of the file that was last to be made."""


class ArchiveUnpacker:
    """One archive; feed it all chunks in order, then call `finish`. Nothing is left out: the whole tar was signed for
    by its digest."""

    def __init__(self, *, limits: ArchiveLimits | None = None) -> None:
        self._steps = _Steps()
        self._reader = ArchiveReader(limits=limits, include_log=True, members=self._steps)

    @property
    def read_bytes(self) -> int:
        return self._reader.read_bytes

    def feed(self, chunk: bytes) -> list[Step]:
        """Check the next bytes; what they make. Pieces are views of `chunk`."""
        self._reader.feed(chunk)
        return self._steps.taken()

    def finish(self) -> ArchiveContents:
        """The archive's end: refused if it is cut off or lacks what every checkpoint has."""
        return self._reader.finish()


class _Steps:
    """Collects what the reader tells."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def began(self, name: str, size: int, *, folder: bool) -> None:
        if not folder:
            self._steps.append(NewFile(name, size))
        elif name:
            self._steps.append(NewFolder(name))

    def data(self, piece: memoryview) -> None:
        self._steps.append(piece)

    def taken(self) -> list[Step]:
        steps, self._steps = self._steps, []
        return steps
