"""Verbs as a caller meets them, where no server is needed: usage, exit codes, and what goes to which stream."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ksnap.cli import session
from ksnap.cli.main import make_app
from ksnap.cli.session import Session

ALL_VERBS = [
    "login", "logout", "whoami", "restore", "doctor", "serve", "agent", "version",
    "cluster add", "cluster list", "cluster status", "cluster test", "cluster remove",
    "registry add", "registry list", "registry login", "registry remove",
    "checkpoint create", "checkpoint push", "checkpoint list", "checkpoint show", "checkpoint download",
    "checkpoint delete", "checkpoint cancel", "job list", "job show", "job watch", "job cancel",
    "user add", "user list", "user update", "user remove", "user passwd",
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without a login and without our variables."""
    for name in ("KSNAP_SERVER", "KSNAP_TOKEN", "KSNAP_CLUSTER", "KSNAP_CA_FILE", "KSNAP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port that is taken and does not listen: nobody else can answer there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def ksnap(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(make_app(), list(arguments), input=stdin)


def log_in(home: Path, server: str, *, expires: timedelta = timedelta(hours=1)) -> None:
    moment = (datetime.now(UTC) + expires).isoformat()
    session.save(home / "ksnap/session.json", Session(server, "token", "anna", "viewer", expires_at=moment))


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_every_verb_has_help(verb: str) -> None:
    done = ksnap(*verb.split(), "--help")
    assert done.exit_code == 0
    assert ("--output <table|json>" in done.stdout) == (verb not in {"serve", "agent"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("checkpoint", "create"),
        ("checkpoint", "list", "--status", "gone"),
        ("checkpoint", "create", "web", "--tag", "x"),
        ("cluster", "add", "x"),
        ("cluster", "add", "x", "--in-cluster", "--kubeconfig", "y"),
        ("cluster", "add", "x", "--kubeconfig", "/nonexistent"),
        ("registry", "add", "x", "host", "--password-file", "y"),
        ("user", "update", "anna"),
        ("user", "passwd", "--password-file", "-", "--current-password-file", "-"),
        ("whoami", "--server", "not a url"),
        ("login", "--server", "https://localhost", "--ca-file", "/nonexistent"),
        ("login", "--server", "http://localhost:1"),
    ],
)
def test_wrong_usage_is_2_and_leaves_stdout_alone(arguments: tuple[str, ...]) -> None:
    done = ksnap(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr


def test_without_a_login_it_is_3_with_the_way_in() -> None:
    done = ksnap("checkpoint", "list")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "hint: ksnap login --server http://localhost:8000" in done.stderr


def test_an_expired_login_is_3_without_asking_the_server(home: Path) -> None:
    log_in(home, "http://localhost:9", expires=timedelta(seconds=-1))
    done = ksnap("whoami")
    assert done.exit_code == 3
    assert "The login has expired" in done.stderr


def test_a_login_is_for_its_server_alone(home: Path) -> None:
    log_in(home, "http://localhost:9")
    done = ksnap("whoami", "--server", "http://localhost:10")
    assert done.exit_code == 3
    assert "no login for http://localhost:10" in done.stderr


def test_a_server_that_is_not_there_is_7(home: Path, closed_port: str) -> None:
    log_in(home, closed_port)
    done = ksnap("whoami")
    assert (done.exit_code, done.stdout) == (7, "")
    assert done.stderr.startswith("error: The server cannot be reached (SERVICE_UNAVAILABLE)\n  " + closed_port)


def test_an_unencrypted_far_server_and_an_unchecked_one_are_warned_of() -> None:
    done = ksnap("login", "--server", "http://ksnap.invalid", "--insecure")
    assert "is not encrypted" in done.stderr
    assert "is not checked" in done.stderr


def test_logout_forgets(home: Path) -> None:
    log_in(home, "http://localhost:9")
    done = ksnap("logout", "--output", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"logged_out": True})
    assert json.loads(ksnap("logout", "-o", "json").stdout) == {"logged_out": False}


def test_version_is_one_line_or_json() -> None:
    assert ksnap("version").stdout.startswith("ksnap ")
    assert set(json.loads(ksnap("version", "-o", "json").stdout)) == {"version", "python"}


def test_a_wrong_setting_of_the_server_is_2_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSNAP_TOKEN_LIFE_S", "geheim")
    done = ksnap("serve")
    assert done.exit_code == 2
    assert "token_life_s" in done.stderr
    assert "geheim" not in done.stderr
