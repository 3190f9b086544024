"""The pods that tests freeze, and the web app inside of them, run here as a plain process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import workloads
from dev.cluster.images import PROGRAMS


def test_user1000_is_not_root_and_cannot_become_it() -> None:
    pod = workloads.user1000_pod("a", "ns", "image")

    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_pair_listens_on_two_ports() -> None:
    containers = workloads.pair_pod("a", "ns", "image")["spec"]["containers"]

    assert [container["name"] for container in containers] == ["front", "back"]
    assert [container["ports"][0]["containerPort"] for container in containers] == [8080, 8081]


def test_a_pod_goes_to_the_node_that_is_asked_for() -> None:
    assert workloads.counter_pod("a", "ns", "i", node="node2")["spec"]["nodeSelector"] == {
        "kubernetes.io/hostname": "node2"
    }
    assert "nodeSelector" not in workloads.counter_pod("a", "ns", "i")["spec"]


def test_a_deployment_selects_its_own_pods() -> None:
    deployment = workloads.webapp_deployment("a", "ns", "image", labels={"ksnap.dev/snap": "true"})
    labels = deployment["spec"]["template"]["metadata"]["labels"]

    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["ksnap.dev/snap"] == "true"


class WebApp:
    """The program, on a free port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = {**os.environ, "PORT": str(self.port), "START_S": "1", "MEMORY_MB": "4"}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, PROGRAMS / "webapp.py"], env=env, stdout=log)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except urllib.error.URLError:
            return 0, {}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def webapp(tmp_path: Path) -> Iterator[WebApp]:
    app = WebApp(tmp_path)
    yield app
    app.process.kill()
    app.process.wait()


def test_the_web_app_is_ready_only_after_its_start(webapp: WebApp) -> None:
    until(lambda: webapp.get("/ready")[0] == 503)
    until(lambda: webapp.get("/ready")[0] == 200)

    assert webapp.get("/")[1]["memory_mb"] == 4


def test_the_web_app_counts_requests_but_no_probes_and_keeps_its_token(webapp: WebApp) -> None:
    until(lambda: webapp.get("/ready")[0] != 0)
    first, second = webapp.get("/")[1], webapp.get("/")[1]

    assert (first["requests"], second["requests"]) == (1, 2)
    assert first["token"] == second["token"]
    assert set(first) >= {"token", "requests", "started_at", "pid", "hostname"}


def test_the_web_app_ends_when_told_to(webapp: WebApp) -> None:
    until(lambda: webapp.get("/ready")[0] != 0)
    webapp.process.send_signal(signal.SIGTERM)

    assert webapp.process.wait(5) == 0
