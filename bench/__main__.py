"""`make bench`: every benchmark, one after the other; tables on stdout, JSON in bench/results."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

from bench import freeze, memory, start
from bench.report import Series, Target, table, targets_table, write

START_RUNS = 3
FREEZE_RUNS = 3
FREEZE_MIB = 1024


def main() -> None:
    """Publishing and pulling first: they want the machine for themselves more than the others do."""
    subprocess.run([sys.executable, "-m", "bench.publish", "--memory-mib", "0"], check=True)
    names = ("pull", "wrapper", "warm", "lists", "terminal", "logs", "admission")
    for name in (f"bench.{each}" for each in names):
        subprocess.run([sys.executable, "-m", name], check=True)
    freeze.report(freeze.measure(FREEZE_MIB, FREEZE_RUNS), memory_mib=FREEZE_MIB, runs=FREEZE_RUNS)
    report_starts(start.measure(START_RUNS))
    report_memory(memory.measure())


def report_starts(starts: list[start.Start]) -> None:
    """Cold beside restored, and what a restored start is made of."""
    columns = [name for name in asdict(starts[0]) if name != "memory_mb"]
    head = ["memory", *(name.removesuffix("_s").replace("_", " ") for name in columns), "restored / cold"]
    rows = [
        [f"{each.memory_mb} MB", *(f"{getattr(each, name):.1f} s" for name in columns), f"{each.ratio:.2f}"]
        for each in starts
    ]
    targets = [
        Target(f"restored / cold start, {starts[0].memory_mb} MB", starts[0].ratio, 0.3),
        Target(f"runtime engine, warm / image engine, {starts[-1].memory_mb} MB", starts[-1].warm_ratio, 0.5),
    ]
    series = [Series(f"{each.memory_mb} MB, {name}", "s", [getattr(each, name)]) for each in starts for name in columns]
    path = write("start", series=series, targets=targets, about={"runs": START_RUNS, "start_s": start.START_S})
    print(f"\n{table([head, *rows])}\n\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


def report_memory(peaks: memory.Peaks) -> None:
    """Both peaks against their limit."""
    carried = f"for {peaks.archive_mib:.0f} MiB"
    targets = [
        Target(f"agent's peak {carried} frozen and pushed (MiB)", peaks.agent_mib, memory.LIMIT_MIB),
        Target(f"server's peak {carried} downloaded (MiB)", peaks.server_mib, memory.LIMIT_MIB),
    ]
    series = [Series("agent", "MiB", [peaks.agent_mib]), Series("server", "MiB", [peaks.server_mib])]
    path = write("memory", series=series, targets=targets, about={"archive_mib": peaks.archive_mib})
    print(f"\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
