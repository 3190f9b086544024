"""/config/signing/public-key, the key behind it, and the command that prints it."""

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ksnap.oci.signing_keys import new_signing_key, parse_public_keys, parse_signing_key
from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.person import Person

PATH = "/config/signing/public-key"


async def test_a_viewer_gets_the_public_key(server: RunningServer, admin: Client) -> None:
    name = fresh("viewer")
    body = {"username": name, "password": "securepassword", "role": "viewer"}
    assert (await admin.post("/config/user/create", body)).status == 200
    async with open_client(server.url, server.login(name, "securepassword")) as viewer:
        answer = await viewer.get(PATH)
    await admin.delete("/config/user/delete", {"username": name})
    assert answer.status == 200
    assert set(answer.body) == {"success", "public_key", "key_id"}
    assert answer.body["success"] is True
    [key] = parse_public_keys(answer.body["public_key"])
    assert answer.body["key_id"] == key.key_id
    loaded = serialization.load_pem_public_key(answer.body["public_key"].encode())
    encoded = loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert answer.body["key_id"] == hashlib.sha256(encoded).hexdigest()


async def test_without_a_token_there_is_none(anonymous: Client) -> None:
    answer = await anonymous.get(PATH)
    assert (answer.status, answer.code) == (401, "AUTHENTICATION_FAILED")


async def test_the_private_half_is_a_private_file_and_nowhere_else(server: RunningServer, admin: Client) -> None:
    path = server.data_dir / "signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = path.read_text().splitlines()[1]
    assert secret not in (await admin.get(PATH)).text
    assert secret not in "".join(server.log)
    others = [each.read_bytes() for each in server.data_dir.iterdir() if each.is_file() and each != path]
    assert not any(secret.encode() in each for each in others)


@pytest.mark.timeout(240)
def test_the_command_prints_it_for_a_file(server: RunningServer, tmp_path: Path) -> None:
    person = Person(tmp_path, server.url)
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    done = person.ksnap("registry", "public-key")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert done.out.endswith("-----END PUBLIC KEY-----\n")
    reply = person.ksnap("registry", "public-key", "-o", "json").json
    assert reply["public_key"] == done.out
    assert [each.key_id for each in parse_public_keys(done.out)] == [reply["key_id"]]


@pytest.mark.timeout(240)
async def test_a_key_that_is_brought_along_is_the_one(tmp_path: Path) -> None:
    brought = new_signing_key()
    (tmp_path / "brought.pem").write_text(brought.get_secret_value())
    settings = {"KSNAP_SIGNING_KEY_FILE": str(tmp_path / "brought.pem")}
    with running_server(tmp_path / "data", settings) as server:
        async with open_client(server.url, server.token) as client:
            found = (await client.get(PATH)).body["public_key"]
        assert not (server.data_dir / "signing.key").exists()
    assert found == parse_signing_key(brought).public_key.pem


@pytest.mark.timeout(240)
async def test_the_key_outlives_a_restart(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        with running_server(tmp_path / "data") as server:
            async with open_client(server.url, server.token) as client:
                found.append((await client.get(PATH)).body["key_id"])
    assert found[0] == found[1]
