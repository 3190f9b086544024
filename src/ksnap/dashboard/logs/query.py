"""The query of the log routes, as values. Pure. Follows the dashboard contract, section 11.1.

What cannot be understood is refused by its name, with what is allowed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ksnap.dashboard.logs.lines import is_rfc3339
from ksnap.dashboard.logs.selection import BEGINNING, DEFAULT_LINES, END, NEWEST, ReferencePoint, Selection, last_lines
from ksnap.errors import InvalidInput

MOST_LINES = 5000
# Far beyond any log; the reference's own pages use 2,000,000,000 for "at the end".
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which lines, of which instance of a container."""

    previous: bool
    since_time: str | None
    selection: Selection


@dataclass(frozen=True, slots=True)
class FileQuery:
    """How much of a log, for a download; None for all of it."""

    previous: bool
    timestamps: bool
    tail_lines: int | None
    since_time: str | None


def page_query(given: Mapping[str, str]) -> PageQuery:
    """Of a page of lines."""
    tail_lines = tail_lines_in(given, most=MOST_LINES)
    selection = _window(given) or last_lines(tail_lines or DEFAULT_LINES)
    return PageQuery(is_true(given, "previous"), since_time_in(given), selection)


def file_query(given: Mapping[str, str]) -> FileQuery:
    """Of a download, which may have any length."""
    return FileQuery(
        is_true(given, "previous"), is_true(given, "timestamps"), tail_lines_in(given), since_time_in(given)
    )


def is_true(given: Mapping[str, str], name: str) -> bool:
    """Only this word counts."""
    return given.get(name) == "true"


def tail_lines_in(given: Mapping[str, str], *, least: int = 1, most: int | None = None) -> int | None:
    text = given.get("tailLines")
    if text is None:
        return None
    lines = _integer(text)
    if lines is None or lines < least or (most is not None and lines > most):
        allowed = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise InvalidInput(f"tailLines must be an integer {allowed}", details=f"tailLines: {text[:80]!r}")
    return lines


def since_time_in(given: Mapping[str, str]) -> str | None:
    text = given.get("sinceTime")
    if text is not None and not is_rfc3339(text):
        raise InvalidInput(
            "sinceTime must be a time as RFC 3339 writes it, such as 2024-03-05T10:00:00Z",
            details=f"sinceTime: {text[:80]!r}",
        )
    return text


def _window(given: Mapping[str, str]) -> Selection | None:
    """The window that both offsets ask for; None without them."""
    names = ("offsetFrom", "offsetTo")
    texts = [given.get(name) for name in names]
    if texts == [None, None]:
        return None
    offsets = [_integer(text or "") for text in texts]
    for name, text, offset in zip(names, texts, offsets, strict=True):
        if offset is None:
            found = "is missing" if text is None else repr(text[:80])
            raise InvalidInput("offsetFrom and offsetTo must both be integers", details=f"{name}: {found}")
    point = ReferencePoint(given.get("referenceTimestamp") or NEWEST, _integer(given.get("referenceLineNum", "0")) or 0)
    position = BEGINNING if given.get("logFilePosition") == BEGINNING else END
    return Selection(point, offsets[0] or 0, offsets[1] or 0, position)


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None
