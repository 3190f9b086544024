"""What a person or a script sees: data on stdout, as a table or as JSON; everything else on stderr.

Tables are plain columns, without lines and never cut when piped, so that `awk` reads them as people do. Rich decides
about colours by the terminal and NO_COLOR.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ksnap.cli.exits import error_text
from ksnap.errors import KsnapError

# What a state's colour means; a state that is not here has none. Sense never depends on it.
_COLOURS = {
    "completed": "green", "healthy": "green", "ready": "green", "running": "cyan", "restored": "green",
    "failed": "red", "unhealthy": "red", "not_ready": "red", "cancelled": "yellow", "degraded": "yellow",
    "problem": "red", "warning": "yellow",
}  # fmt: skip


class Output(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"


class Screen:
    """The two streams of one call."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def rows(
        self,
        entries: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        *,
        empty: str,
        computed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> None:
        """A list: `columns` maps headings to fields. An empty one says so on stderr.

        `computed` makes fields for people out of an entry; JSON has the entries as the API gave them.
        """
        if self.output is Output.JSON:
            self._json(list(entries))
            return
        if not entries:
            self.note(empty)
            return
        table = [[heading.upper() for heading in columns]]
        table += [[cell({**entry, **computed(entry)}.get(field)) for field in columns.values()] for entry in entries]
        self._columns(table)

    def record(self, entry: Mapping[str, Any], fields: Mapping[str, str] | None = None) -> None:
        """One object, a line a field; all of it in JSON."""
        if self.output is Output.JSON:
            self._json(dict(entry))
            return
        shown = fields or {name.replace("_", " "): name for name in entry if name != "success"}
        self._columns([[f"{label}:", cell(entry.get(name))] for label, name in shown.items() if name in entry])

    def table(self, entries: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        """Rows below a record, for people alone: the record's JSON holds them already."""
        if self.output is Output.TABLE and entries:
            print()
            self.rows(entries, columns, empty="")

    def done(self, reply: Mapping[str, Any], sentence: str) -> None:
        """An act without data of its own: a sentence for people on stderr, the reply for scripts on stdout."""
        if self.output is Output.JSON:
            self._json(dict(reply))
        else:
            self.note(sentence)

    def text(self, reply: Mapping[str, Any], text: str) -> None:
        """Lines that are the data themselves, as they are, for a file or a pipe; the reply in JSON."""
        if self.output is Output.JSON:
            self._json(dict(reply))
        else:
            print(harmless(text.removesuffix("\n")))

    def paragraph(self, text: str) -> None:
        """Lines below a record, for people alone, as they are: they may be copied."""
        if self.output is Output.TABLE:
            print()
            print(harmless(text))

    def note(self, text: str) -> None:
        print(harmless(text), file=sys.stderr)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def error(self, error: KsnapError) -> None:
        self.note(error_text(error))

    def _json(self, value: object) -> None:
        print(json.dumps(value, indent=2, ensure_ascii=False))

    def _columns(self, table: Sequence[Sequence[str]]) -> None:
        for line in aligned(table, colour=sys.stdout.isatty()):
            print(line)


def aligned(table: Sequence[Sequence[str]], *, colour: bool) -> list[str]:
    """Rows with their columns under each other; the last column is as long as it is."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [text.ljust(width) for text, width in zip(row[:-1], widths, strict=False)] + [row[-1]]
        lines.append("  ".join(cells).rstrip())
    return [_coloured(line) for line in lines] if colour else lines


def _coloured(line: str) -> str:
    """The line with its states coloured, where the terminal and NO_COLOR allow it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, width=max(80, len(line) + 1))
    text = Text(line)
    for word, colour in _COLOURS.items():
        text.highlight_regex(rf"(?<!\S){word}(?!\S)", colour)
    with console.capture() as captured:
        console.print(text, end="", soft_wrap=True)
    return captured.get()


def cell(value: object) -> str:
    """A value as one cell: never empty, so that columns can be counted; no control characters of foreign text."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(cell(each) for each in value) or "-"
        case dict():
            return ", ".join(f"{name} {cell(each)}" for name, each in value.items()) or "-"
        case _:
            return harmless(str(value)).replace("\n", " ")


def harmless(text: str) -> str:
    """Text of a server, a pod, a registry: without control characters, which would drive the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def size(count: float | None) -> str:
    """Bytes for people, decimal as the API's own `size`: 150 MB."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def age(text: str | None, now: datetime) -> str:
    """How long ago a time of the API was: 5m, 3h, 12d."""
    if not text:
        return "-"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return cell(text)
    seconds = max(0, int((now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
