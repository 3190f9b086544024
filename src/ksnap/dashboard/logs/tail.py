"""A log as it comes, in pieces of any size: whole lines, from a place on. Pure."""

from ksnap.dashboard.logs.lines import NO_TIME, LogLine, parse_line, stamp_of
from ksnap.dashboard.logs.places import Place

# A line that is longer is shown in pieces: memory is bounded, and nothing is lost.
LONGEST_LINE = 256 * 1024


class Tail:
    """One container's log; `place` is behind the last whole line that was given out."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place
        self._begun_at = place
        self._known = 0
        """Lines of the place's own timestamp that came again."""
        self._open = bytearray()
        self._continued = ""
        """The timestamp of a long line, some of which has passed already."""
        self._skipping = False
        """That line lies before the place from which this began."""

    def feed(self, chunk: bytes) -> list[LogLine]:
        """The lines that are whole now, and are new."""
        whole, newline, rest = chunk.rpartition(b"\n")
        found: list[LogLine] = []
        if newline:
            first, *others = whole.split(b"\n")
            self._open += first
            self._take(self._finished(), found)
            for line in others:
                self._take(line, found)
        self._open += rest
        while len(self._open) > LONGEST_LINE:
            self._take_piece(found)
        return found

    def finish(self) -> list[LogLine]:
        """What stands behind the last line's end; no place lies behind it, for more of it may come."""
        place, found = self.place, list[LogLine]()
        self._take(self._finished(), found)
        self.place = place
        return found

    def _finished(self) -> bytes:
        line = bytes(self._open)
        self._open.clear()
        return line

    def _take(self, line: bytes, found: list[LogLine]) -> None:
        if self._continued:
            stamp, self._continued = self._continued, ""
            if not self._skipping:
                self._advance(stamp)
                found.append(LogLine(stamp, line.decode("utf-8", "replace")))
        elif line and not self._is_known(line):
            parsed = parse_line(line)
            self._advance(parsed.timestamp)
            found.append(parsed)

    def _take_piece(self, found: list[LogLine]) -> None:
        end = LONGEST_LINE
        while end > LONGEST_LINE - 4 and self._open[end] & 0xC0 == 0x80:  # not within a character
            end -= 1
        piece = bytes(self._open[:end])
        del self._open[:end]
        if self._continued:
            line = LogLine(self._continued, piece.decode("utf-8", "replace"))
        else:
            line = parse_line(piece)
            self._continued, self._skipping = line.timestamp, self._is_known(piece)
        if not self._skipping:
            found.append(line)

    def _is_known(self, line: bytes) -> bool:
        """Whether it lies before the place from which this began. Timestamps of one log compare as texts."""
        begun = self._begun_at
        if begun is None:
            return False
        stamp = stamp_of(line)
        if stamp == NO_TIME or stamp > begun.timestamp:
            return False
        if stamp == begun.timestamp:
            self._known += 1
            return self._known <= begun.lines
        return True

    def _advance(self, stamp: str) -> None:
        if stamp == NO_TIME:
            return
        same = self.place is not None and self.place.timestamp == stamp
        self.place = Place(stamp, self.place.lines + 1 if same and self.place else 1)
