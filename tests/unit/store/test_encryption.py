"""The vault: round trips, rotation, keys from where they may come."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from ksnap.errors import InvalidInput, Unavailable
from ksnap.settings import ServerSettings
from ksnap.store.encryption import Vault, open_vault, write_private_file

KEYS = [Fernet.generate_key().decode() for _ in range(2)]


@given(st.binary(max_size=1000))
def test_what_was_encrypted_comes_back(secret: bytes) -> None:
    vault = Vault(KEYS)
    token = vault.encrypt(secret)
    assert vault.decrypt(token) == secret
    assert not secret or len(secret) < 4 or secret not in token


def test_text_comes_back() -> None:
    vault = Vault(KEYS[:1])
    assert vault.decrypt_text(vault.encrypt_text("Käse")) == "Käse"


def test_an_old_key_decrypts_and_rotation_moves_to_the_new_one() -> None:
    token = Vault([KEYS[0]]).encrypt(b"secret")
    both = Vault([KEYS[1], KEYS[0]])
    assert both.decrypt(token) == b"secret"
    assert Vault([KEYS[1]]).decrypt(both.rotate(token)) == b"secret"


def test_a_foreign_key_is_unavailable_and_says_what_to_do() -> None:
    token = Vault([KEYS[0]]).encrypt(b"secret")
    with pytest.raises(Unavailable) as caught:
        Vault([KEYS[1]]).decrypt(token)
    assert "former encryption key" in caught.value.explanation
    with pytest.raises(Unavailable):
        Vault([KEYS[1]]).rotate(token)


@pytest.mark.parametrize("keys", [[], ["short"], ["!" * 44]])
def test_a_bad_key_is_refused_without_showing_it(keys: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Vault(keys)
    assert not any(key in str(caught.value.args) + caught.value.explanation for key in keys)


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = ServerSettings(data_dir=tmp_path)
    token = open_vault(settings).encrypt(b"secret")
    assert open_vault(settings).decrypt(token) == b"secret"
    assert stat.S_IMODE(os.stat(tmp_path / "encryption.key").st_mode) == 0o600


def test_a_key_from_a_file_wins_over_the_own_one(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n".join(KEYS) + "\n")
    settings = ServerSettings(data_dir=tmp_path, encryption_key_file=tmp_path / "keys")
    assert Vault([KEYS[0]]).decrypt(open_vault(settings).encrypt(b"secret")) == b"secret"
    assert not (tmp_path / "encryption.key").exists()


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="file cannot be read"):
        open_vault(ServerSettings(data_dir=tmp_path, encryption_key_file=tmp_path / "absent"))


def test_a_private_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    write_private_file(tmp_path / "key", b"first")
    write_private_file(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
