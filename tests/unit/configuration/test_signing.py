"""The installation's signing key: made once and private, or brought along."""

import os
import stat
from pathlib import Path

import pytest

from ksnap.configuration.signing import open_signing_key
from ksnap.errors import InvalidInput
from ksnap.oci.signing_keys import new_signing_key, parse_signing_key
from ksnap.settings import ServerSettings


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = ServerSettings(data_dir=tmp_path)
    made = open_signing_key(settings)
    assert open_signing_key(settings).public_key == made.public_key
    assert stat.S_IMODE(os.stat(tmp_path / "signing.key").st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["signing.key"]


def test_a_key_that_is_brought_along_wins_over_the_own_one(tmp_path: Path) -> None:
    open_signing_key(ServerSettings(data_dir=tmp_path))
    brought = new_signing_key()
    (tmp_path / "brought.pem").write_text(brought.get_secret_value())
    found = open_signing_key(ServerSettings(data_dir=tmp_path, signing_key_file=tmp_path / "brought.pem"))
    assert found.public_key == parse_signing_key(brought).public_key


def test_a_missing_file_is_named_and_no_key_made_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        open_signing_key(ServerSettings(data_dir=tmp_path, signing_key_file=tmp_path / "absent.pem"))
    assert "absent.pem" in caught.value.details
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"secret-but-no-key", b"\xff\xfe"])
def test_a_file_that_is_no_key_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signing.key").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        open_signing_key(ServerSettings(data_dir=tmp_path))
    assert "signing.key" in caught.value.details
    assert "secret-but-no-key" not in f"{caught.value.message} {caught.value.explanation}"
