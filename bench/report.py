"""Figures of a benchmark as a table for people and as JSON for machines.

All figures of one file come from one run on one machine: only ratios within a run mean anything.
"""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Series:
    """One contender's repeated measurements of one quantity."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that ksnap holds itself to."""

    text: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned first column, right-aligned others; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def series_table(series: Sequence[Series], *, reference: Series) -> str:
    """Medians, their spread, and each as a multiple of the reference."""
    rows = [["", "median", "least", "most", f"x {reference.name}"]]
    for each in series:
        figures = [each.median, min(each.values), max(each.values)]
        rows.append(
            [each.name, *(f"{value:.2f} {each.unit}" for value in figures), f"{each.median / reference.median:.2f}"]
        )
    return table(rows)


def targets_table(targets: Sequence[Target]) -> str:
    rows = [["target", "measured", "bound", ""]]
    for each in targets:
        bound = f"{'>=' if each.at_least else '<='} {each.bound:g}"
        rows.append([each.text, f"{each.value:.2f}", bound, "met" if each.met else "MISSED"])
    return table(rows)


def write(name: str, *, series: Sequence[Series], targets: Sequence[Target], about: Mapping[str, object]) -> Path:
    """Write one run's figures; the file of the newest run has no time in its name."""
    RESULTS.mkdir(exist_ok=True)
    content = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": len(os.sched_getaffinity(0)),
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "about": dict(about),
        "series": [{**asdict(each), "median": each.median} for each in series],
        "targets": [{**asdict(each), "met": each.met} for each in targets],
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
