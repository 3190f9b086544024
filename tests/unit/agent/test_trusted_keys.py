"""The folder of keys that a node trusts, laid out as the kubelet lays out a ConfigMap, and changed as it does."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ksnap.agent.trusted_keys import TrustedKeys
from ksnap.oci.signing_keys import SigningKey
from tests.parties.checkpoint_keys import new_key

FIRST, SECOND = new_key(), new_key()


def mount(folder: Path, number: int, **files: str) -> None:
    """Write the files aside, then swap the link `..data`, in one step."""
    inside = folder / f"..{number}"
    inside.mkdir(parents=True)
    for name, text in files.items():
        (inside / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..new").symlink_to(inside.name)
    (folder / "..new").rename(folder / "..data")
    for left in folder.iterdir():
        if left.is_symlink() and not left.name.startswith(".") and left.name not in files:
            left.unlink()


def ids(*keys: SigningKey) -> set[str]:
    return {each.public_key.key_id for each in keys}


async def trusted(keys: TrustedKeys) -> set[str]:
    return {each.key_id for each in await keys.current()}


async def test_all_keys_of_all_files_are_trusted_and_changes_are_seen(tmp_path: Path) -> None:
    keys = TrustedKeys(tmp_path / "keys")
    assert await trusted(keys) == set(), "the folder may come later"
    mount(tmp_path / "keys", 1, a=FIRST.public_key.pem)
    assert await trusted(keys) == ids(FIRST)
    mount(tmp_path / "keys", 2, a=FIRST.public_key.pem + SECOND.public_key.pem)
    assert await trusted(keys) == ids(FIRST, SECOND)
    mount(tmp_path / "keys", 3, b=SECOND.public_key.pem)
    assert await trusted(keys) == ids(SECOND)
    mount(tmp_path / "keys", 4)
    assert await trusted(keys) == set()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no public key"),
        ("not a key", "no public key"),
        (FIRST.pem.get_secret_value(), "no public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (FIRST.public_key.pem + "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        ("\x00é", "no PEM"),
        (FIRST.public_key.pem + " " * 70_000, "more than"),
    ],
)
async def test_a_bad_file_is_told_once_and_trusted_in_no_part(tmp_path: Path, text: str, why: str) -> None:
    mount(tmp_path, 1, bad=text, good=SECOND.public_key.pem)
    keys = TrustedKeys(tmp_path)
    with capture_logs() as logs:
        assert await trusted(keys) == ids(SECOND)
        assert await trusted(keys) == ids(SECOND)
    [told] = [each for each in logs if each["event"] == "trusted_key_refused"]
    assert told["file"] == "bad"
    assert why in told["reason"]
    assert "PRIVATE" not in str(logs)


async def test_links_to_nowhere_and_folders_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    mount(tmp_path, 1, good=FIRST.public_key.pem)
    (tmp_path / "gone").symlink_to("nowhere")
    with capture_logs() as logs:
        assert await trusted(TrustedKeys(tmp_path)) == ids(FIRST)
    assert [each["file"] for each in logs if each["event"] == "trusted_key_refused"] == ["gone"]


async def test_no_folder_trusts_nobody() -> None:
    assert await TrustedKeys(None).current() == ()
