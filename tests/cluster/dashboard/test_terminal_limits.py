"""What bounds terminals: their number, their silence, what a slow reader costs, and the end of their server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, open_dashboard
from tests.cluster.dashboard.terminal import (
    RULES,
    audited,
    connected,
    count_processes,
    gone,
    idle_pod,
    opened,
    own_server,
    resident_bytes,
    shell_in,
    until_audited,
)
from tests.parties.server import RunningServer

MIB = 1 << 20
POD = "debian"
FLOOD = 100_000_000
ROUNDS = 1000
AT_ONCE = 5


@pytest.fixture(scope="module")
def pod(cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str) -> None:
    kubectl.apply(idle_pod(cluster, module_namespace, POD, "debian-python", ("sleep", "100000")))
    kubectl.wait_ready(module_namespace, POD)


@pytest.fixture(scope="module")
def tokens(pod: None, kubectl: Kubectl, module_namespace: str) -> Iterator[tuple[str, str]]:
    """Of two accounts."""
    with account(kubectl, module_namespace, rules=RULES) as one, account(kubectl, module_namespace, rules=RULES) as two:
        yield one, two


@pytest.fixture
def server(cluster: ClusterInfo, tmp_path: Path) -> Iterator[RunningServer]:
    """With narrow limits."""
    limits = {"terminal_sessions_token": "2", "terminal_sessions": "3", "terminal_idle_s": "4"}
    with own_server(cluster, tmp_path / "data", **limits) as server:
        yield server


@pytest.fixture
async def callers(server: RunningServer, tokens: tuple[str, str]) -> AsyncIterator[list[Dashboard]]:
    async with open_dashboard(server.url, "") as client:
        yield [client.as_token(each) for each in tokens]


async def test_limits_of_a_server(
    server: RunningServer, callers: list[Dashboard], kubectl: Kubectl, module_namespace: str
) -> None:
    """Its sessions are counted, pending ones too; they end unbound, without a key, and with the server."""
    one, two = callers
    path = f"/pod/{module_namespace}/{POD}/shell/app"
    ids = [await opened(one, module_namespace, POD) for _ in range(2)]
    refused = await one.get(path)
    assert (refused.status, "2 of one token" in refused.text) == (429, True), refused
    await opened(two, module_namespace, POD)
    refused = await two.get(path)
    assert (refused.status, "3 are allowed on this server" in refused.text) == (429, True), refused

    await until_audited(server, "terminal_closed", "NOT_BOUND", 3)
    async with connected(one, ids[0]) as terminal:
        await terminal.bind(ids[0])
        assert await terminal.ends() == (3, "Session not found or expired")

    async with shell_in(one, module_namespace, POD) as terminal:
        await terminal.type("echo se''cret\r")
        await terminal.shows("secret")
        assert await terminal.ends() == (5, "Session closed by server")
        assert "the session ends in 2 s" in terminal.toasts[-1]

    async with shell_in(one, module_namespace, POD) as terminal:
        await terminal.type("echo st''arted; sleep 4715\r")
        await terminal.shows("started")
        await asyncio.gather(asyncio.to_thread(server.stop), terminal.ends())
        assert terminal.closing == (5, "Session closed by server")
    await gone(kubectl, module_namespace, POD, "sleep 4715", within_s=10)
    check_trail(server, module_namespace)


def check_trail(server: RunningServer, namespace: str) -> None:
    """Who, where, which shell, how long, how much; never what."""
    assert len(audited(server, "terminal_opened")) == 5
    assert len(audited(server, "terminal_bound")) == 2
    closed = audited(server, "terminal_closed")
    assert sorted(each["outcome"] for each in closed) == ["IDLE", "NOT_BOUND", "NOT_BOUND", "NOT_BOUND", "SHUTDOWN"]
    idle = next(each for each in closed if each["outcome"] == "IDLE")
    assert idle["username"].startswith(f"kubernetes:system:serviceaccount:{namespace}:caller-")
    assert idle["target"].startswith(f"dev/{namespace}/{POD}/app shell=bash,sh,powershell,cmd ran=bash seconds=")
    assert " bytes_in=" in idle["target"]
    assert "se''cret" not in "".join(server.log)


async def test_a_slow_reader_costs_no_memory(
    dashboard: Dashboard, dashboard_server: RunningServer, tokens: tuple[str, str], module_namespace: str
) -> None:
    """A hundred megabytes for a client that reads nothing at first, and then all."""
    caller = dashboard.as_token(tokens[0])
    session_id = await opened(caller, module_namespace, POD)
    async with dashboard.session.ws_connect(f"{caller.url}/api/v1/terminal/{session_id}", max_msg_size=0) as socket:
        await socket.send_json({"Op": "bind", "SessionID": session_id})
        await socket.receive()
        before = resident_bytes(dashboard_server)
        line = "x" * 99
        flood = f"stty -onlcr; yes {line} | head -c {FLOOD}; echo; echo fl''ooded\r"
        await socket.send_json({"Op": "stdin", "Data": flood})
        most = 0
        for _ in range(20):  # not read for two seconds, in which the container could write some fifty megabytes
            await asyncio.sleep(0.1)
            most = max(most, resident_bytes(dashboard_server))
        shown, last, messages = 0, "", 0
        while "flooded" not in last:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT
            data = json.loads(message.data)["Data"]
            shown, last, messages = shown + len(data), (last + data)[-100:], messages + 1
            if messages % 50 == 0:
                most = max(most, resident_bytes(dashboard_server))
    assert shown > FLOOD
    assert most - before < 16 * MIB


@pytest.mark.thorough
@pytest.mark.timeout(600)
async def test_a_thousand_sessions_opened_and_dropped(
    cluster: ClusterInfo, tmp_path: Path, tokens: tuple[str, str], kubectl: Kubectl, module_namespace: str
) -> None:
    """Check 4: memory stays flat, and no shell stays behind."""

    async def rounds(caller: Dashboard, count: int) -> None:
        for _ in range(count):
            async with shell_in(caller, module_namespace, POD) as terminal:
                await terminal.is_told("Connection established")

    async def at_once(url: str, count: int) -> None:
        async with open_dashboard(url, tokens[0]) as caller, asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(rounds(caller, count // AT_ONCE))

    # Those that are being ended count, too.
    with own_server(cluster, tmp_path / "data", terminal_sessions_token="200") as server:
        await at_once(server.url, ROUNDS // 5)
        before = resident_bytes(server)
        await at_once(server.url, ROUNDS)
        assert resident_bytes(server) - before < 16 * MIB
        await gone(kubectl, module_namespace, POD, "bash", within_s=20)
        assert [each for each in server.log if "terminal_process_" in each] == []
    assert count_processes(kubectl, module_namespace, POD, "sleep 100000") == 1
