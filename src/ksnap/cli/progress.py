"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere. stdout is left to the data.

What is shown is a `Step`, made from a job's event or a download's count; nothing is parsed out of messages.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ksnap.cli.screen import cell, harmless, size

LINE_EVERY_S = 10.0  # without a terminal: often enough to see life, rare enough for a log


@dataclass(frozen=True, slots=True)
class Step:
    """Where work is: a stage, and how many of how many bytes, where bytes are what it is about."""

    stage: str
    message: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None

    def text(self) -> str:
        """The step as a line."""
        parts = [cell(self.stage.replace("_", " "))]
        if self.bytes_done is not None:
            of = f" of {size(self.bytes_total)}" if self.bytes_total else ""
            parts.append(size(self.bytes_done) + of)
        if self.message:
            parts.append(cell(self.message))
        return "  ".join(parts)


class View(Protocol):
    """Something that shows steps and remarks."""

    def show(self, step: Step) -> None: ...

    def note(self, text: str) -> None: ...


class LineView:
    """A line for each new stage, and now and then within one. `now` is passed in by tests."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0

    def show(self, step: Step, now: float | None = None) -> None:
        moment = time.monotonic() if now is None else now
        if step.stage != self._stage or moment >= self._next:
            self._stage, self._next = step.stage, moment + LINE_EVERY_S
            self.note(step.text())

    def note(self, text: str) -> None:
        print(harmless(text), file=sys.stderr, flush=True)


@contextmanager
def view() -> Iterator[View]:
    """The view that fits stderr, shown while the block lasts."""
    if not sys.stderr.isatty():
        yield LineView()
        return
    from ksnap.cli.bar import bar

    with bar() as shown:
        yield shown
