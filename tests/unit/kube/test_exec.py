"""Commands in a container, over a real WebSocket: how they end, and how their connection may."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ksnap.errors import ClusterConnectionFailed, InvalidInput, KsnapError, NotFound
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.exec import Executed, execute
from ksnap.kube.failures import ClusterUnreachable
from tests.parties.certificates import ServerCertificate, issue_certificate
from tests.parties.exec_server import CLOSE, V4, V5, Asked, ExecServer, Plan, exec_server

SHELL = ("/bin/sh", "-c")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return issue_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def party(certificate: ServerCertificate) -> AsyncIterator[ExecServer]:
    async with exec_server(certificate) as running:
        yield running


@pytest.fixture
async def connection(party: ExecServer, certificate: ServerCertificate) -> AsyncIterator[ClusterConnection]:
    opened = await ClusterConnection.open(config(party, certificate))
    yield opened
    await opened.close()


def config(party: ExecServer, certificate: ServerCertificate) -> ClusterConfig:
    return ClusterConfig(
        name="test",
        api_server_url=party.url,
        auth_type=AuthType.TOKEN,
        credentials=SecretStr("secret-token"),
        ca_cert=certificate.ca_pem,
        timeout_s=5.0,
    )


async def run(connection: ClusterConnection, *argv: str, deadline_s: float = 10.0, kept_bytes: int = 1000) -> Executed:
    return await execute(connection, "shop", "web-0", "web", argv, deadline_s=deadline_s, kept_bytes=kept_bytes)


async def idle(party: ExecServer) -> None:
    """Until the party has nobody to serve: the client has closed, and the party heard of it."""
    async with asyncio.timeout(5):
        while party.running:  # noqa: ASYNC110 - a counter in the same loop
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocol", [V5, V4])
async def test_a_command_runs_to_its_end(party: ExecServer, connection: ClusterConnection, protocol: str) -> None:
    party.plan = Plan(protocols=(protocol,))
    done = await run(connection, *SHELL, "echo out; echo err >&2")
    assert (done.exit_code, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    path = "/api/v1/namespaces/shop/pods/web-0/exec"
    assert party.asked == [Asked(path, "web", (*SHELL, "echo out; echo err >&2"), "Bearer secret-token")]
    await idle(party)


@pytest.mark.parametrize("code", [1, 3, 255])
async def test_an_exit_code_is_told(connection: ClusterConnection, code: int) -> None:
    done = await run(connection, *SHELL, f"echo why >&2; exit {code}")
    assert (done.exit_code, done.stderr) == (code, b"why\n")


async def test_arguments_arrive_as_they_are(connection: ClusterConnection) -> None:
    odd = ["a b", "ä&b=c", "100%", "+", "", "a\nb"]
    done = await run(connection, "printf", "%s|", *odd)
    assert done.stdout.decode() == "".join(f"{each}|" for each in odd)


async def test_the_last_of_much_output_is_kept(connection: ClusterConnection) -> None:
    done = await run(connection, *SHELL, "head -c 8000000 /dev/zero >&2; echo last >&2; exit 2", kept_bytes=100)
    assert (done.exit_code, done.stderr) == (2, b"\0" * 95 + b"last\n")


async def test_output_after_the_status_counts(party: ExecServer, connection: ClusterConnection) -> None:
    party.plan = Plan(late_output=b"late")
    assert (await run(connection, "true")).stderr == b"late"


async def test_a_server_that_does_not_close_is_not_waited_for(party: ExecServer, connection: ClusterConnection) -> None:
    party.plan = Plan(stays_open=True)
    began = time.monotonic()
    assert (await run(connection, "false", deadline_s=30)).exit_code == 1
    assert time.monotonic() - began < 10
    await idle(party)


async def test_what_a_later_version_may_send_is_passed_over(party: ExecServer, connection: ClusterConnection) -> None:
    party.plan = Plan(unknown_messages=(b"", b"\x09x", bytes([CLOSE, 1]), bytes([CLOSE])))
    assert (await run(connection, "echo", "x")).stdout == b"x\n"


async def test_a_command_that_cannot_be_run_says_why(party: ExecServer, connection: ClusterConnection) -> None:
    said = 'exec: "nope": executable file not found in $PATH'
    party.plan = Plan(status={"status": "Failure", "reason": "InternalError", "code": 500, "message": said})
    done = await run(connection, "nope")
    assert (done.exit_code, done.message) == (None, said)


async def test_a_command_that_hangs_is_left_at_its_deadline(party: ExecServer, connection: ClusterConnection) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await run(connection, "sleep", "60", deadline_s=0.5)
    assert time.monotonic() - began < 5
    await idle(party)


async def test_cancelling_closes_the_connection(party: ExecServer, connection: ClusterConnection) -> None:
    task = asyncio.create_task(run(connection, "sleep", "60"))
    async with asyncio.timeout(5):
        while not party.running:  # noqa: ASYNC110 - a counter in the same loop
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(party)


async def test_a_connection_that_is_cut_is_no_ending(party: ExecServer, connection: ClusterConnection) -> None:
    party.plan = Plan(cut_after=5)
    with pytest.raises(ClusterUnreachable, match="broke"):
        await run(connection, *SHELL, "echo hello; sleep 60")


async def test_a_server_that_ends_without_a_status_is_no_ending(
    party: ExecServer, connection: ClusterConnection
) -> None:
    party.plan = Plan(status={})
    with pytest.raises(ClusterUnreachable, match="broke"):
        await run(connection, "true")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, ClusterConnectionFailed),
        (403, ClusterConnectionFailed),
        (404, NotFound),
        (500, ClusterUnreachable),
        (503, ClusterUnreachable),
        (200, ClusterConnectionFailed),
        (302, ClusterConnectionFailed),
    ],
)
async def test_a_refusal_is_one_of_our_errors(
    party: ExecServer, connection: ClusterConnection, status: int, kind: type[KsnapError]
) -> None:
    party.plan = Plan(refuse=status)
    with pytest.raises(kind) as raised:
        await run(connection, "true", "hunter2")
    assert type(raised.value) is kind
    assert "hunter2" not in raised.value.explanation
    assert "container web of pod shop/web-0" in raised.value.details


async def test_a_server_of_older_protocols_alone_is_refused(party: ExecServer, connection: ClusterConnection) -> None:
    party.plan = Plan(protocols=("channel.k8s.io",))
    with pytest.raises(ClusterConnectionFailed, match="does not speak"):
        await run(connection, "true")


async def test_an_authority_that_is_not_known_is_told(
    party: ExecServer, certificate: ServerCertificate, tmp_path: Path
) -> None:
    other = issue_certificate(tmp_path)
    stranger = await ClusterConnection.open(replace(config(party, certificate), ca_cert=other.ca_pem))
    with pytest.raises(ClusterConnectionFailed, match="not trusted"):
        await run(stranger, "true")
    await stranger.close()
    assert party.asked == []


async def test_a_server_that_is_away_is_unreachable(certificate: ServerCertificate) -> None:
    async with exec_server(certificate) as gone:
        away = await ClusterConnection.open(config(gone, certificate))
    with pytest.raises(ClusterUnreachable):
        await run(away, "true")
    await away.close()
