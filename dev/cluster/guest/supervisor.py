"""Starts services in order, restarts each when it dies, ends all in reverse order on SIGTERM: what systemd would do.

    supervisor.py SPEC

SPEC is a JSON file (see `Spec`). Runs as PID 1 of a PID namespace, so it also collects orphans, and its end ends
everything that services left behind. Standard library only: in a node it runs on Debian's Python, outside of this
project.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 10.0
STEADY_S = 10.0
"""A service that lived this long starts over with the first backoff."""
STOP_S = 8.0
"""What each service gets between SIGTERM and SIGKILL."""
LOG_LIMIT_BYTES = 64 * 1024 * 1024
"""A log larger than this is moved to `.1` when its service starts."""
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass
class Service:
    """One program, and what became of it."""

    name: str
    argv: list[str]
    log: str
    env: dict[str, str]
    ready: str = ""
    """What must answer before the next service starts: `unix:PATH`, `tcp:ADDRESS:PORT` or an https URL."""
    ready_ca: str = ""
    """The CA file for an https URL."""
    ready_s: float = 60.0
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    backoff_s: float = FIRST_BACKOFF_S
    due: float = 0.0
    last_exit: int | None = None

    def report(self) -> dict[str, Any]:
        return {"name": self.name, "pid": self.pid, "restarts": self.restarts, "last_exit": self.last_exit}


@dataclass
class Supervisor:
    """The services of one machine."""

    services: list[Service]
    state: Path
    """Where to report what runs, as JSON, after every change."""
    ending: bool = field(default=False)

    def run(self) -> None:
        """Start all, then serve signals until told to end."""
        for service in self.services:
            self._start(service)
            self._wait_ready(service)
        while not self.ending:
            self._handle(self._next_due())
        for service in reversed(self.services):
            self._stop(service)

    def _start(self, service: Service) -> None:
        rotate(Path(service.log))
        output = (os.POSIX_SPAWN_OPEN, 1, service.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        program = shutil.which(service.argv[0], path=service.env.get("PATH")) or service.argv[0]
        service.started = time.monotonic()
        try:
            service.pid = os.posix_spawn(
                program,
                service.argv,
                service.env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    output,
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
            )
        except OSError as error:
            say(f"{service.name}: cannot start: {error}")
            self._schedule(service)
        self._report()

    def _wait_ready(self, service: Service) -> None:
        deadline = time.monotonic() + service.ready_s
        while service.ready and not self.ending and not answers(service.ready, service.ready_ca):
            if time.monotonic() > deadline:
                say(f"{service.name}: not ready after {service.ready_s:.0f} s, going on")
                return
            self._handle(0.05)

    def _handle(self, wait_s: float) -> None:
        """Serve one signal, collect the dead, restart what is due."""
        received = signal.sigtimedwait(WATCHED, max(0.0, wait_s))
        if received is not None and received.si_signo != signal.SIGCHLD:
            self.ending = True
            return
        for service in self._collect():
            say(f"{service.name}: ended with {service.last_exit}, starts again in {service.backoff_s:.1f} s")
            self._schedule(service)
        for service in self.services:
            if service.due and time.monotonic() >= service.due:
                service.due = 0.0
                service.restarts += 1
                self._start(service)

    def _collect(self) -> list[Service]:
        """Collect the dead, and say which services are among them."""
        ended = []
        for pid, status in collect_dead():
            for service in self.services:
                if service.pid == pid:
                    service.pid = 0
                    service.last_exit = os.waitstatus_to_exitcode(status)
                    ended.append(service)
        if ended:
            self._report()
        return ended

    def _schedule(self, service: Service) -> None:
        if time.monotonic() - service.started > STEADY_S:
            service.backoff_s = FIRST_BACKOFF_S
        service.due = time.monotonic() + service.backoff_s
        service.backoff_s = min(LAST_BACKOFF_S, service.backoff_s * 2)

    def _next_due(self) -> float:
        due = [service.due for service in self.services if service.due]
        return min(due) - time.monotonic() if due else 60.0

    def _stop(self, service: Service) -> None:
        if not service.pid:
            return
        os.kill(service.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while service.pid:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            self._collect()
            if service.pid and time.monotonic() > deadline:
                say(f"{service.name}: deaf to SIGTERM, killed")
                os.kill(service.pid, signal.SIGKILL)
                deadline = float("inf")

    def _report(self) -> None:
        half = self.state.with_suffix(".tmp")
        half.write_text(json.dumps([service.report() for service in self.services]))
        half.replace(self.state)


def collect_dead() -> list[tuple[int, int]]:
    """Collect every ended child, orphans of others among them."""
    dead: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return dead
        if pid == 0:
            return dead
        dead.append((pid, status))


def answers(target: str, ca: str) -> bool:
    """Whether somebody listens at `unix:PATH` or `tcp:ADDRESS:PORT`, or answers 200 to `https://...`."""
    try:
        if target.startswith("https:"):
            context = ssl.create_default_context(cafile=ca)
            with urllib.request.urlopen(target, timeout=2.0, context=context) as answer:  # noqa: S310 - https alone
                return bool(answer.status == 200)
        kind, address = target.split(":", 1)
        host, _, port = address.rpartition(":")
        with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as probe:
            probe.settimeout(1.0)
            probe.connect(address if kind == "unix" else (host, int(port)))
    except OSError:  # Refused, reset, timed out, not ready: urllib's errors are all among them.
        return False
    return True


def rotate(log: Path) -> None:
    """Move a large log away: a cluster may run for weeks."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(spec_file: str) -> None:
    """Read SPEC: `{"state": PATH, "services": [{"name", "argv", "log", "env", "ready", "ready_s"}]}`."""
    spec = json.loads(Path(spec_file).read_text())
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    supervisor = Supervisor([Service(**service) for service in spec["services"]], Path(spec["state"]))
    say("starts")
    supervisor.run()
    say("ended")


if __name__ == "__main__":
    main(sys.argv[1])
