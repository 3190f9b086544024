"""Starts and stops of the server: what it makes, what it says when it cannot start, what it keeps."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.parties.certificates import issue_certificate
from tests.parties.server import ADMIN_PASSWORD, running_server
from tests.server.client import open_client

pytestmark = pytest.mark.timeout(200)


def failed_start(environment: dict[str, str]) -> tuple[int, list[dict[str, str]], str]:
    """Exit code, log events and the whole log of a server that must not start."""
    done = subprocess.run(
        [sys.executable, "-m", "ksnap.server"],
        env={"PATH": "/usr/bin:/bin", "KSNAP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")], done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("KSNAP_ADMIN_PASSWORD", "short", "password"),
        ("KSNAP_ADMIN_PASSWORD_FILE", "/no/such/file", "KSNAP_ADMIN_PASSWORD_FILE"),
        ("KSNAP_DATABASE_URL", "postgresql://u:secret-4711@127.0.0.1:9/x", "KSNAP_DATABASE_URL"),
        ("KSNAP_ENCRYPTION_KEY", "secret-4711", "Fernet"),
        ("KSNAP_BLOB_STORE_URL", "ftp://x", "blob store"),
        ("KSNAP_DATA_DIR", "/dev/null/x", "--data-dir"),
    ],
)
def test_a_start_that_fails_says_what_to_do_in_one_line(tmp_path: Path, setting: str, value: str, says: str) -> None:
    code, events, log = failed_start({"KSNAP_DATA_DIR": str(tmp_path / "data"), setting: value})
    assert code != 0
    failed = [each for each in events if each["event"] == "server_failed"]
    assert len(failed) == 1
    assert says in json.dumps(failed[0])
    assert "Traceback" not in log
    assert "secret-4711" not in log


async def test_a_restart_keeps_users_tokens_and_configuration(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        token = server.token
        async with open_client(server.url, token) as client:
            new = {"name": "kept", "url": "r.example", "username": "u", "password": "secret-4711"}
            assert (await client.post("/config/registry/create", new)).status == 200
        assert server.stop() == 0
        log = "".join(server.log)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "data").iterdir() if each.is_file()}
    assert {modes[name] for name in ("ksnap.db", "encryption.key", "token.key")} == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    with running_server(tmp_path / "data", admin_password=None) as again:
        async with open_client(again.url, token) as client:
            listed = await client.get("/config/registry/list")
            assert [each["name"] for each in listed.body["registry_configs"]] == ["kept"]
        log += "".join(again.log)
    assert not any(secret in log for secret in (ADMIN_PASSWORD, token, "secret-4711"))


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with running_server(tmp_path / "data"):
        settings = {"KSNAP_DATA_DIR": str(tmp_path / "data"), "KSNAP_DATABASE_TIMEOUT_S": "1"}
        code, events, _log = failed_start(settings)
        assert code != 0
        assert any("Another server uses this data folder" in json.dumps(each) for each in events)


async def test_it_serves_tls_and_lets_named_origins_in(tmp_path: Path) -> None:
    certificate = issue_certificate(tmp_path)
    (tmp_path / "password").write_text(ADMIN_PASSWORD + "\n")
    settings = {
        "KSNAP_TLS_CERT_FILE": str(certificate.certificate),
        "KSNAP_TLS_KEY_FILE": str(certificate.key),
        "KSNAP_ALLOWED_ORIGINS": "https://ui.example",
        "KSNAP_ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
    }
    with running_server(tmp_path / "data", settings, admin_password=None) as server:
        assert server.url.startswith("https://")
        assert not any("one-time" in line for line in server.log)
        connector = aiohttp.TCPConnector(ssl=certificate.client_context())
        async with aiohttp.ClientSession(server.url, connector=connector) as session:
            preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Authorization"}
            for origin, allowed in (("https://ui.example", True), ("https://evil.example", False)):
                async with session.options("/config/user/login", headers={**preflight, "Origin": origin}) as answer:
                    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
                    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(answer.headers)
            login = {"username": "admin", "password": ADMIN_PASSWORD}
            page = {"Origin": "https://ui.example"}
            async with session.post("/config/user/login", json=login, headers=page) as answer:
                assert answer.status == 200
                exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
                assert {"Retry-After", "ETag", "Content-Disposition", "Content-Range"} <= set(exposed)
                assert (await answer.json())["user"]["must_change_password"] is False
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            async with aiohttp.ClientSession(server.url) as session, session.get("/health"):
                pass
