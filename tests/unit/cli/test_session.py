"""The stored login: private, whole, and refused once it has expired."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ksnap.cli import session
from ksnap.cli.session import Session
from ksnap.errors import InvalidInput, NotAuthenticated

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOGIN = Session("https://ksnap.example", "token", "anna", "operator", expires_at="2026-01-02T04:04:05Z", ca_cert="PEM")


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "ksnap" / "session.json"
    session.save(path, LOGIN)
    assert session.load(path) == LOGIN


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "ksnap" / "session.json"
    session.save(path, LOGIN)
    session.save(path, replace(LOGIN, token="another"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["session.json"]


def test_no_file_is_no_login(tmp_path: Path) -> None:
    assert session.load(tmp_path / "session.json") is None
    assert not session.forget(tmp_path / "session.json")


@pytest.mark.parametrize("text", ["", "[]", '{"server": 1}', "{", '{"server":"s","token":"t"}'])
def test_a_foreign_file_is_refused_with_a_way_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "session.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        session.load(path)
    assert "ksnap logout" in caught.value.hint


def test_it_is_good_until_it_expires() -> None:
    LOGIN.check_fresh(NOW + timedelta(seconds=3599))
    with pytest.raises(NotAuthenticated, match="expired") as caught:
        LOGIN.check_fresh(NOW + timedelta(seconds=3600))
    assert caught.value.hint.endswith("ksnap login --server https://ksnap.example")


def test_without_an_expiry_the_server_decides() -> None:
    replace(LOGIN, expires_at="").check_fresh(NOW + timedelta(days=1000))
