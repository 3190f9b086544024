"""Which shells run, and why a session ends, where an API server answers what containerd's clusters do not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from ksnap.dashboard.terminal.closing import EXITED, POD_DELETED, failed
from ksnap.dashboard.terminal.command import Command
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.screen import Screen
from ksnap.dashboard.terminal.typed import Typed
from ksnap.kube.caller import Caller
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from tests.parties.certificates import ServerCertificate, issue_certificate
from tests.parties.exec_server import ExecServer, Plan, exec_server, status_of

NO_PROGRAM: dict[str, Any] = {"status": "Failure", "message": "no such program", "reason": "InternalError"}
SHELLS = ("bash", "sh", "zsh")
CALLER = Caller(token=SecretStr("a-callers"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return issue_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def party(certificate: ServerCertificate) -> AsyncIterator[ExecServer]:
    async with exec_server(certificate) as running:
        running.pod = {"metadata": {"name": "web-0"}}
        yield running


@pytest.fixture
async def place(party: ExecServer, certificate: ServerCertificate) -> AsyncIterator[Place]:
    config = ClusterConfig(
        name="test",
        api_server_url=party.url,
        auth_type=AuthType.TOKEN,
        credentials=SecretStr("ksnaps-own"),
        ca_cert=certificate.ca_pem,
        timeout_s=5.0,
    )
    connection = await ClusterConnection.open(config)
    yield Place(connection.acting(CALLER), "test", "shop", "web-0", "web")
    await connection.close()


def command(place: Place) -> Command:
    return Command(place, SHELLS, Typed(), Screen())


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (NO_PROGRAM, "no such program"),
        (status_of(126), "command terminated with non-zero exit code: exit status 126"),
        (status_of(127), "command terminated with non-zero exit code: exit status 127"),
    ],
)
async def test_all_are_tried_where_none_starts(
    party: ExecServer, place: Place, status: dict[str, Any], reason: str
) -> None:
    party.plan = Plan(status=status)
    assert await command(place).run() == failed(reason)
    assert [each.argv for each in party.asked] == [("bash",), ("sh",), ("zsh",)]
    assert {each.authorization for each in party.asked} == {"Bearer a-callers"}


@pytest.mark.parametrize("code", [0, 1, 3, 137])
async def test_one_that_ran_is_the_last(party: ExecServer, place: Place, code: int) -> None:
    party.plan = Plan(status=status_of(code))
    assert await command(place).run() == EXITED
    assert [each.argv for each in party.asked] == [("bash",)]


@pytest.mark.parametrize("refuse", [403, 404, 500])
async def test_what_another_shell_would_meet_too_ends_it(party: ExecServer, place: Place, refuse: int) -> None:
    party.plan = Plan(refuse=refuse)
    closing = await command(place).run()
    assert (closing.code, len(party.asked)) == (2, 1)
    assert "pod shop/web-0" in closing.reason


async def test_a_pods_end_is_told_as_such(party: ExecServer, place: Place) -> None:
    party.plan = Plan(status=status_of(137))
    party.pod["metadata"]["deletionTimestamp"] = "2026-01-15T10:30:00Z"
    assert await command(place).run() == POD_DELETED


async def test_nobody_wants_another_shell_any_more(party: ExecServer, place: Place) -> None:
    party.plan = Plan(status=NO_PROGRAM)
    tried = command(place)
    tried.stop_trying()
    await tried.run()
    assert len(party.asked) == 1
