"""Restarting the node's containerd, and waiting for its return. Pods outlive it: their shims are not its children.

With systemd, systemd does it. Without, containerd is asked to end and its supervisor starts it again. Works on the
node's own processes: the pod that calls this shares the node's PID namespace.
"""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import structlog

from ksnap.errors import Unavailable

log = structlog.get_logger()

_RESTART = ["nsenter", "--target=1", "--mount", "--uts", "--ipc", "--net", "--", "systemctl", "restart", "containerd"]
_COMMAND_TIMEOUT_S = 90
_RETURN_S = 60.0
_LOOK_S = 0.1


def restart(proc: Path, containerd_socket: Path) -> None:
    """Restart it; Unavailable if it does not come back in time."""
    before = containerd_pid(proc)
    if _has_systemd(proc):
        _by_systemd()
    elif before is not None:
        os.kill(before, signal.SIGTERM)
    else:
        raise Unavailable("containerd does not run on the node", hint="Start it; the pod tries again by itself")
    _wait_for_return(proc, containerd_socket, before)
    log.info("containerd_restarted")


def containerd_pid(proc: Path) -> int | None:
    """The node's containerd; the oldest one, should a container run another."""
    found = [int(each.parent.name) for each in proc.glob("[0-9]*/comm") if _reads(each) == "containerd"]
    return min(found, default=None)


def started_at(proc: Path) -> float:
    """When the node's containerd started, as Unix time to a second; the epoch if it does not run."""
    pid = containerd_pid(proc)
    fields = _reads(proc / str(pid) / "stat").rpartition(")")[2].split()
    booted = re.search(r"^btime (\d+)", _reads(proc / "stat"), re.MULTILINE)
    if not fields or booted is None:
        return 0.0
    # Field 22, counted from behind the name, which is the second (proc_pid_stat(5)).
    return int(booted[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _by_systemd() -> None:
    try:
        subprocess.run(_RESTART, check=True, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S)  # noqa: S603
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise Unavailable("containerd could not be restarted", details=str(said).strip()[-400:]) from error


def _has_systemd(proc: Path) -> bool:
    return _reads(proc / "1" / "comm") == "systemd"


def _wait_for_return(proc: Path, containerd_socket: Path, before: int | None) -> None:
    deadline = time.monotonic() + _RETURN_S
    while containerd_pid(proc) in {None, before} or not _answers(containerd_socket):
        if time.monotonic() > deadline:
            raise Unavailable(
                "containerd did not come back after its restart",
                details=f"within {_RETURN_S:g} s",
                hint="Look at its log on the node: a configuration that it refuses stands there",
            )
        time.sleep(_LOOK_S)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _reads(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # The process ended meanwhile.
