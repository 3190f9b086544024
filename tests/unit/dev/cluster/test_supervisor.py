"""The supervisor as it runs in nodes: real children, real signals."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.control import GUEST
from dev.cluster.guest import supervisor as guest


class Running:
    """A supervisor of some shell scripts."""

    def __init__(self, folder: Path, services: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.state = folder / "state.json"
        whole = [{"log": f"{folder}/{item['name']}.log", "env": {"PATH": "/usr/bin:/bin"}, **item} for item in services]
        spec = folder / "spec.json"
        spec.write_text(json.dumps({"state": str(self.state), "services": whole}))
        self.process = subprocess.Popen(
            [sys.executable, GUEST / "supervisor.py", spec], stdout=subprocess.PIPE, text=True
        )

    def service(self, name: str) -> dict[str, Any]:
        found = json.loads(self.state.read_text()) if self.state.exists() else []
        return next((item for item in found if item["name"] == name), {"pid": 0, "restarts": 0, "last_exit": None})

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return str(said)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts supervisors that end with the test."""
    started: list[Running] = []

    def start(*services: dict[str, Any]) -> Running:
        started.append(Running(tmp_path, list(services)))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


def script(name: str, text: str, **more: str) -> dict[str, Any]:
    return {"name": name, "argv": ["sh", "-c", text], **more}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_service_that_dies_is_started_again(supervise: Callable[..., Running]) -> None:
    running = supervise(script("short", "echo once; exit 3"), script("long", "exec sleep 60"))

    until(lambda: running.service("short")["restarts"] >= 2)
    assert running.service("short")["last_exit"] == 3
    assert running.service("long")["restarts"] == 0
    assert running.log("short").count("once") >= 2


def test_services_end_in_reverse_order(supervise: Callable[..., Running], tmp_path: Path) -> None:
    order = tmp_path / "order"

    def one(name: str) -> dict[str, Any]:
        return script(name, f"trap 'echo {name} >> {order}; exit 0' TERM; echo up; while :; do sleep 0.05; done")

    running = supervise(one("first"), one("second"))
    until(lambda: "up" in running.log("first") and "up" in running.log("second"))
    running.stop()

    assert order.read_text().split() == ["second", "first"]


def test_the_next_service_waits_for_the_one_before(supervise: Callable[..., Running], tmp_path: Path) -> None:
    listen = (
        "import socket,time; time.sleep(0.5); s=socket.socket(socket.AF_UNIX); "
        f"s.bind('{tmp_path}/socket'); s.listen(); open('{tmp_path}/ready', 'w').close(); time.sleep(60)"
    )
    server = {"name": "server", "argv": [sys.executable, "-c", listen], "ready": f"unix:{tmp_path}/socket"}
    running = supervise(server, script("client", f"test -e {tmp_path}/ready && echo in time; exec sleep 60"))

    until(lambda: running.service("client")["pid"])
    until(lambda: running.log("client"))
    assert running.log("client") == "in time\n"


def test_orphans_are_no_business_of_any_service(supervise: Callable[..., Running]) -> None:
    running = supervise(script("parent", "(sleep 0.1 &) ; exec sleep 60"))

    until(lambda: running.service("parent")["pid"])
    time.sleep(0.5)
    assert running.service("parent")["restarts"] == 0


def test_a_program_that_is_not_there_is_tried_again(supervise: Callable[..., Running]) -> None:
    running = supervise({"name": "absent", "argv": ["/no/such/program"]})

    until(lambda: running.service("absent")["restarts"] >= 1)
    assert "cannot start" in running.stop()


def test_backoff_doubles_to_a_limit_and_starts_over_after_a_steady_life() -> None:
    service = guest.Service("x", [], "", {}, started=time.monotonic())
    keeper = guest.Supervisor([service], Path("/nowhere"))
    waits = []
    for _ in range(7):
        waits.append(service.backoff_s)
        keeper._schedule(service)

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    service.started = time.monotonic() - guest.STEADY_S - 1
    keeper._schedule(service)
    assert service.backoff_s == 1.0


def test_a_large_log_is_moved_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "LOG_LIMIT_BYTES", 10)
    (tmp_path / "a.log").write_text("0123456789")
    (tmp_path / "b.log").write_text("0123456789 and more")
    guest.rotate(tmp_path / "a.log")
    guest.rotate(tmp_path / "b.log")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "b.log.1"]
