"""The bar on a terminal: stage, bytes, rate. Imported only where there is one, for Rich takes its time."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from ksnap.cli.progress import Step
from ksnap.cli.screen import cell, harmless, size


class BarView:
    """One bar. A new stage starts a new count, since its rate is another's."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._stage = ""

    def show(self, step: Step) -> None:
        if self._task is None or step.stage != self._stage:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._stage = step.stage
            self._task = self._progress.add_task(cell(step.stage.replace("_", " ")), total=None, message="")
        self._progress.update(
            self._task,
            total=step.bytes_total or None,
            completed=step.bytes_done or 0,
            message=cell(step.message) if step.message else "",
        )

    def note(self, text: str) -> None:
        self._progress.console.print(harmless(text), markup=False, highlight=False)


class _Bytes(ProgressColumn):
    """How many bytes, of how many, how fast; nothing for a stage that is not about bytes."""

    def render(self, task: Task) -> Text:
        if not task.completed:
            return Text("")
        of = f" of {size(task.total)}" if task.total else ""
        speed = task.finished_speed or task.speed
        rate = f"  {size(speed)}/s" if speed else ""
        return Text(f"{size(task.completed)}{of}{rate}")


@contextmanager
def bar() -> Iterator[BarView]:
    """A bar on stderr while the block lasts; it leaves nothing behind, for the outcome says it all."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        _Bytes(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield BarView(progress)
