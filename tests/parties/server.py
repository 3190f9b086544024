"""The real server as a party of tests: its own process, data folder and port; ended by its process id.

with running_server(tmp_path) as server:
    requests go to server.url with server.headers (the administrator's token)
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ADMIN_PASSWORD = "only for tests 1"
START_TIMEOUT_S = 100.0
# Tests ask more often in an hour than people do.
MANY_REQUESTS = {
    "KSNAP_RATE_LIMIT_USER": "1000000",
    "KSNAP_RATE_LIMIT_ADDRESS": "1000000",
    "KSNAP_RATE_LIMIT_AGENT": "1000000",
}


@dataclass(slots=True)
class RunningServer:
    """One server process."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)
    """Every line it has written to standard error so far."""
    _token: str = ""

    @property
    def token(self) -> str:
        """The administrator's; logged in once."""
        if not self._token:
            self._token = self.login("admin", ADMIN_PASSWORD)
        return self._token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def login(self, username: str, password: str) -> str:
        body = json.dumps({"username": username, "password": password}).encode()
        request = urllib.request.Request(
            f"{self.url}/config/user/login", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["token"])

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def running_server(
    data_dir: Path,
    environment: Mapping[str, str] | None = None,
    *,
    admin_password: str | None = ADMIN_PASSWORD,
    module: str = "ksnap.server",
) -> Iterator[RunningServer]:
    """A server that answers; `environment` adds settings (KSNAP_...) or takes a default's place.

    `module` is what is started: a party may add something to the server.
    """
    settings = {
        **MANY_REQUESTS,
        "KSNAP_DATA_DIR": str(data_dir),
        "KSNAP_PORT": "0",
        **({"KSNAP_ADMIN_PASSWORD": admin_password} if admin_password else {}),
        **(environment or {}),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KSNAP_")}
    process = subprocess.Popen(
        [sys.executable, "-m", module], env={**inherited, **settings}, stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    started: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, log, started), daemon=True)
    reader.start()
    try:
        yield RunningServer(_started_url(process, log, started), data_dir, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        reader.join(timeout=10)
        assert process.stderr is not None
        process.stderr.close()


def _read(process: "subprocess.Popen[str]", log: list[str], started: "queue.Queue[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line)
        if '"server_started"' in line:
            started.put(json.loads(line)["url"])


def _started_url(process: "subprocess.Popen[str]", log: list[str], started: "queue.Queue[str]") -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            return started.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None:
                break
    raise AssertionError("the server did not start:\n" + "".join(log))
