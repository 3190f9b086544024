"""Secrets come from a file, stdin or the environment, and never by accident from an empty one."""

import io
from pathlib import Path

import pytest

from ksnap.cli.secret_input import STDIN, read_secret
from ksnap.errors import InvalidInput


def read(file: Path | None = None) -> str:
    return read_secret("password", file=file, file_option="--password-file", variable="KSNAP_PASSWORD")


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\nsecond line\n"])
def test_a_file_counts_to_its_line_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(text.encode())
    assert read(path) == "s3cret"


def test_spaces_belong_to_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" a b \n")
    assert read(tmp_path / "password") == " a b "


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\nmore"))
    assert read(STDIN) == "s3cret"


def test_a_file_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSNAP_PASSWORD", "from the environment")
    (tmp_path / "password").write_text("from the file")
    assert read(tmp_path / "password") == "from the file"
    assert read() == "from the environment"


def test_nothing_to_ask_says_how_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSNAP_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("not read"))
    with pytest.raises(InvalidInput) as caught:
        read()
    assert caught.value.hint == "Use --password-file FILE, --password-file - for standard input, or KSNAP_PASSWORD"


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\nsecond")
    with pytest.raises(InvalidInput, match="is empty"):
        read(tmp_path / "empty")
    with pytest.raises(InvalidInput, match="Cannot read"):
        read(tmp_path / "missing")
