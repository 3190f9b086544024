"""How the command line holds on to its server: TLS, retries, and answers that are not the server's."""

import asyncio
from pathlib import Path

import pytest

from tests.parties.certificates import issue_certificate
from tests.parties.fault_proxy import Answer, CutAnswer, Fault, Hang, fault_proxy
from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.person import Done, Person

UNAVAILABLE = b'{"success": false, "error": "Starting", "details": "", "code": "SERVICE_UNAVAILABLE"}'
JSON = {"Content-Type": "application/json"}

# Each test starts the program several times, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


async def ksnap(person: Person, *arguments: str, **environment: str) -> Done:
    """The same while the proxy of this loop goes on answering."""
    return await asyncio.to_thread(person.ksnap, *arguments, **environment)


def test_a_certificate_is_checked_against_the_named_ca(tmp_path: Path) -> None:
    certificate = issue_certificate(tmp_path)
    files = {"KSNAP_TLS_CERT_FILE": str(certificate.certificate), "KSNAP_TLS_KEY_FILE": str(certificate.key)}
    ca = tmp_path / "our-ca.pem"
    ca.write_text(certificate.ca_pem)
    with running_server(tmp_path / "data", files) as server:
        person = Person(tmp_path / "home", server.url)
        refused = person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD)
        assert refused.code == 7
        assert "The server's certificate is not trusted" in refused.err
        assert "--ca-file" in refused.err
        assert person.ksnap("login", "--ca-file", str(ca), KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
        ca.unlink()
        assert person.ksnap("whoami").code == 0, "the login keeps its CA"
        stranger = Person(tmp_path / "other", server.url)
        done = stranger.ksnap("login", "--insecure", KSNAP_PASSWORD=ADMIN_PASSWORD)
        assert done.code == 0
        assert "warning: the certificate of" in done.err
        assert stranger.ksnap("whoami").code == 7, "--insecure is for one call"


async def test_a_safe_call_is_repeated_while_the_server_starts(tmp_path: Path, server: RunningServer) -> None:
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("GET", "/config/user/list", Answer(503, UNAVAILABLE, JSON), times=2))
        proxy.add(Fault("GET", "/config/user/list", CutAnswer(5)))
        done = await ksnap(person, "user", "list", KSNAP_TOKEN=server.token)
        assert done.code == 0, done.err
        assert [each.method for each in proxy.requests] == ["GET"] * 4


async def test_a_call_with_effects_is_sent_once(tmp_path: Path, server: RunningServer) -> None:
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("DELETE", "/config/user/delete", Answer(503, UNAVAILABLE, JSON), times=None))
        done = await ksnap(person, "user", "remove", "anna", KSNAP_TOKEN=server.token)
        assert (done.code, done.out) == (7, "")
        assert "error: Starting (SERVICE_UNAVAILABLE)" in done.err
        assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}),
        Answer(200, b"<html>Log in to the hotel's network</html>", {"Content-Type": "text/html"}),
        Answer(200, b"[]", JSON),
        Answer(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
        Answer(404, b'{"detail": "Not Found"}', JSON),
    ],
)
async def test_an_answer_of_something_else_says_so(tmp_path: Path, server: RunningServer, answer: Answer) -> None:
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("GET", "/config/user/list", answer, times=None))
        done = await ksnap(person, "user", "list", KSNAP_TOKEN=server.token)
        assert (done.code, done.out) == (7, "")
        assert "The answer is not a ksnap server's" in done.err
        assert server.token not in done.err


async def test_a_used_up_limit_is_told_and_not_waited_for(tmp_path: Path, server: RunningServer) -> None:
    body = b'{"success": false, "error": "Too many requests", "details": "", "code": "RATE_LIMIT_EXCEEDED"}'
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("GET", "/config/user/list", Answer(429, body, {**JSON, "Retry-After": "1800"})))
        done = await ksnap(person, "user", "list", KSNAP_TOKEN=server.token)
        assert done.code == 1
        assert "Too many requests (RATE_LIMIT_EXCEEDED)" in done.err


async def test_a_limit_that_ends_soon_is_waited_for(tmp_path: Path, server: RunningServer) -> None:
    body = b'{"success": false, "error": "Too many requests", "details": "", "code": "RATE_LIMIT_EXCEEDED"}'
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("GET", "/config/user/list", Answer(429, body, {**JSON, "Retry-After": "1"})))
        assert (await ksnap(person, "user", "list", KSNAP_TOKEN=server.token)).code == 0


async def test_ctrl_c_while_the_server_is_silent_is_130(tmp_path: Path, server: RunningServer) -> None:
    async with fault_proxy(server.url) as proxy:
        person = Person(tmp_path, f"http://{proxy.host}")
        proxy.add(Fault("GET", "/config/user/list", Hang(), times=None))
        process = person.start("user", "list", KSNAP_TOKEN=server.token)
        while not proxy.requests:  # noqa: ASYNC110 - the proxy has no event for it
            await asyncio.sleep(0.1)
        process.send_signal(2)
        _, err = await asyncio.to_thread(process.communicate, timeout=20)
        assert process.returncode == 130
        assert err == "cancelled\n"
