"""`ksnap serve` as a process of its own, that may outlive whoever started it and is found again by its record."""

from __future__ import annotations

import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import processes
from dev.cluster.errors import NotReadyError, with_log

HOST = "127.0.0.1"
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server keeps its things. `folder` is all that is needed to find it again."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def password_file(self) -> Path:
        """The administrator's password, mode 0600."""
        return self.folder / "admin-password"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{int((self.folder / 'port').read_text())}"

    def start(self) -> None:
        """Start it and wait until it is healthy; a no-op if it runs."""
        running = processes.load(self.record)
        if running is not None and running.alive():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(18) + "\n")
        port = _free_port(8000)
        (self.folder / "port").write_text(str(port))
        # `env` rather than a shell: the program finds its settings there, and its own interpreter beside ours.
        settings = {
            "KSNAP_ADMIN_PASSWORD_FILE": str(self.password_file),
            # One person tries things out here by the hundred; the contract's budgets are for strangers.
            "KSNAP_RATE_LIMIT_USER": "100000",
            "KSNAP_RATE_LIMIT_ADDRESS": "10000",
        }
        words = [f"{name}={value}" for name, value in settings.items()]
        program = Path(sys.executable).with_name("ksnap")
        options = [f"--host={HOST}", f"--port={port}", f"--data-dir={self.folder / 'data'}"]
        process = processes.spawn(["env", *words, program, "serve", *options], self.log)
        processes.save(process, self.record)
        self._wait_healthy(process)

    def stop(self) -> None:
        """End it; a no-op if it does not run."""
        running = processes.load(self.record)
        if running is not None:
            processes.end([running], grace_s=20)
        self.record.unlink(missing_ok=True)

    @property
    def record(self) -> Path:
        return self.folder / "process.json"

    def _wait_healthy(self, process: processes.ProcessId) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._healthy():
            if not process.alive():
                raise NotReadyError(with_log("the server ended at once", self.log))
            if time.monotonic() > deadline:
                raise NotReadyError(with_log(f"the server is not healthy after {START_TIMEOUT_S} s", self.log))
            time.sleep(0.1)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as reply:  # noqa: S310 - our own http URL
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _free_port(wanted: int) -> int:
    """The wanted port, or any free one where somebody else has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise NotReadyError(f"no free port on {HOST}")
