"""The end of a process whose client has gone: it is asked to end, then made to (contract, 9.5).

Ending the exec stream does not end the process: neither the kubelet nor containerd does that, and it would stay until
its container ends. So it is told as somebody at a terminal would: end of input; interrupt, and end of input again. Who
is still there is hung up on, and then killed, by a short command beside it, as the same caller. What has left the
terminal on purpose (setsid, nohup) stays.
"""

import asyncio
import time

import structlog

from ksnap.dashboard.terminal.closing import Closing
from ksnap.dashboard.terminal.command import Command
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.process_table import LISTING, Moment, terminal_holders
from ksnap.dashboard.terminal.typed import Typed
from ksnap.errors import KsnapError

EOT = b"\x04"
INTERRUPT = b"\x03"
# After which the exec stream is closed, whatever became of the process.
WHOLE_S = 5.0
PATIENCE_S = 0.7
PROMPT_S = 0.3
KILL_AFTER_S = 1.0
COMMAND_S = 2.0
# A line of /proc/PID/stat has some 350 bytes: three thousand processes.
LISTING_BYTES = 1 << 20
# That know `-c` and are shells as POSIX has them.
POSIX_SHELLS = frozenset({"bash", "sh", "ash", "dash", "ksh", "zsh"})

_log = structlog.get_logger(__name__)


async def hang_up(process: "asyncio.Task[Closing]", typed: Typed, place: Place, command: Command) -> None:
    """Return once the process has ended, or after `WHOLE_S`."""
    until = time.monotonic() + WHOLE_S
    # A shell that sets its terminal at that moment, as for a prompt, takes an end of input for something else.
    for said, patience_s in ((EOT, PROMPT_S), (EOT, PATIENCE_S), (INTERRUPT, PROMPT_S), (EOT, PATIENCE_S)):
        typed.add(said)
        if await _ended(process, patience_s):
            return
    attempt, shell = command.attempt, command.shell
    if shell in POSIX_SHELLS and attempt.is_running:
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await _make_end(process, place, attempt.began, shell)
        except (KsnapError, TimeoutError) as error:
            _log.warning("terminal_process_not_ended", place=place.named, error=str(error))
    await _ended(process, until - time.monotonic())


async def _make_end(process: "asyncio.Task[Closing]", place: Place, began: Moment, shell: str) -> None:
    found = await _processes(place, began, shell)
    if not found:
        _log.warning("terminal_process_not_found", place=place.named)
        return
    await _signal(place, shell, "HUP", found)
    if len(found) > 1:
        await asyncio.sleep(KILL_AFTER_S)  # the shell's end says nothing of what it had started
    elif await _ended(process, KILL_AFTER_S):
        return
    await _signal(place, shell, "KILL", found)


async def _processes(place: Place, began: Moment, shell: str) -> list[int]:
    asked = time.monotonic()
    listed = await place.run([shell, "-c", LISTING], deadline_s=COMMAND_S, kept_bytes=LISTING_BYTES)
    lines = listed.stdout.decode("utf-8", "replace").splitlines()
    return terminal_holders(lines, began=began, listed=Moment(asked, time.monotonic()))


async def _signal(place: Place, shell: str, signal: str, processes: list[int]) -> None:
    command = f"kill -{signal} " + " ".join(map(str, processes))
    await place.run([shell, "-c", command], deadline_s=COMMAND_S, kept_bytes=1024)


async def _ended(process: "asyncio.Task[Closing]", within_s: float) -> bool:
    await asyncio.wait([process], timeout=max(0.0, within_s))
    return process.done()
