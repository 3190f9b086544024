"""Which processes are ours. A process is a pid together with its start, so that a reused pid is never taken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.cluster.errors import NotReadyError

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for as long as this machine runs."""

    pid: int
    start: int
    """Clock ticks since boot, field 22 of /proc/PID/stat."""
    boot: str
    """The boot it belongs to: after another one, pid and start may both come back."""

    def alive(self) -> bool:
        """Whether that very process still runs; a zombie does not."""
        return self == identify(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Signal that very process, or nobody."""
        if not self.alive():
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return  # It ended in between, which is what signals are for.


def identify(pid: int) -> ProcessId | None:
    """Who has this pid now; None if nobody, or a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = parse_stat(stat)
    return None if state in "ZX" else ProcessId(pid, start, boot_id())


def parse_stat(stat: str) -> tuple[str, int]:
    """State and start of a /proc/PID/stat. The name may hold blanks and brackets, so count from the last bracket."""
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def children(pid: int) -> list[int]:
    """Direct children, as the host numbers them."""
    try:
        return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def spawn(argv: Sequence[str | Path], log: Path) -> ProcessId:
    """Start a process that outlives us, in a session of its own, with its output in a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    # It is recorded by id and ended by id, from here or from another process: Popen must not warn that it still runs.
    process.returncode = 0
    identity = identify(process.pid)
    if identity is None:
        raise NotReadyError(f"{argv[0]} ended at once; log: {log}")
    return identity


def end(processes: Iterable[ProcessId], *, grace_s: float) -> None:
    """SIGTERM, wait, SIGKILL, wait. Returns when all are gone."""
    waiting = [process for process in processes if process.alive()]
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        for process in waiting:
            process.send(number)
        waiting = _wait_gone(waiting, patience_s)
        if not waiting:
            return
    raise NotReadyError(f"still alive after SIGKILL: {', '.join(str(process.pid) for process in waiting)}")


def _wait_gone(processes: list[ProcessId], patience_s: float) -> list[ProcessId]:
    deadline = time.monotonic() + patience_s
    while processes and time.monotonic() < deadline:
        time.sleep(0.05)
        for process in processes:
            _collect_own_child(process.pid)
        processes = [process for process in processes if process.alive()]
    return processes


def _collect_own_child(pid: int) -> None:
    """A child of ours stays a zombie until it is waited for; `alive` knows zombies, this only tidies up."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def save(process: ProcessId, file: Path) -> None:
    """Record a process so that a later command finds it."""
    half = file.with_suffix(".tmp")
    half.write_text(json.dumps(asdict(process)))
    half.replace(file)


def load(file: Path) -> ProcessId | None:
    """Read a record; None if there is none or a killed run left it broken."""
    try:
        return ProcessId(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def python() -> str:
    """The interpreter for `guest/` programs on the host."""
    return sys.executable
