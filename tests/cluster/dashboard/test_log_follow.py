"""Logs of real containers, followed while they are written."""

import asyncio
import json
import secrets
import socket as sockets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.log_followers import LIMIT_S, Events, behind_a_proxy, events, socket
from tests.cluster.dashboard.log_pods import FOREVER, container, pod, until
from tests.cluster.namespaces import own_namespace
from tests.parties.fault_proxy import CutAnswer, Fault
from tests.parties.server import RunningServer

ECHO = "echo begin > /said; exec tail -f /said"
"""Logs what is written to a file. Busybox' tail looks once a second."""
MANY = 200_000
"""More, as JSON, than the buffers of two kernels hold; less than the ten megabytes at which the kubelet rotates."""
RIGHTS = [rule("pods", "get"), rule("pods/log", "get")]


@pytest.fixture(scope="module")
def logs(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        say = "while [ ! -e /end ]; do sleep 0.2; done; echo ended"
        kubectl.apply(
            pod("echo", name, container(cluster, ECHO), container(cluster, f"echo beside; {FOREVER}", name="side")),
            pod("chatty", name, container(cluster, f"seq 1 {MANY}; {FOREVER}")),
            pod("ending", name, container(cluster, f"echo begun; {say}"), restartPolicy="Never"),
        )
        kubectl.wait_ready(name, "echo", "chatty", "ending")
        until(lambda: str(MANY) in kubectl("-n", name, "logs", "chatty", "--tail=1"))
        yield name


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, logs: str) -> Iterator[str]:
    with account(kubectl, logs, rules=RIGHTS) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


async def _say(kubectl: Kubectl, namespace: str, *words: str) -> None:
    script = "; ".join(f"echo {word} >> /said" for word in words)
    argv = ["/bin/busybox", "sh", "-c", script]
    await asyncio.to_thread(kubectl.exec, namespace, "echo", argv, container="app")


async def test_lines_come_as_they_are_written_and_nothing_is_lost_between(
    reader: Dashboard, kubectl: Kubectl, logs: str
) -> None:
    path = f"{logs}/echo/app"
    async with events(reader, path, sinceTime="2000-01-01T00:00:00Z") as first:
        assert await first.lines(1) == ["begin"]
        await _say(kubectl, logs, "one", "two")
        assert await first.lines(2) == ["one", "two"]
        seen = first.last_id
    await _say(kubectl, logs, "three")
    async with events(reader, path, header=seen) as again:
        assert await again.lines(1) == ["three"]
        await _say(kubectl, logs, "four")
        assert await again.lines(1) == ["four"]
    async with events(reader, path, after=seen) as again:
        assert await again.lines(2) == ["three", "four"]


async def test_only_what_comes_next(reader: Dashboard, kubectl: Kubectl, logs: str) -> None:
    """Nothing comes at all before, not even the head of the API server's answer."""
    async with events(reader, f"{logs}/echo/app", tailLines=0) as follower:
        await _say(kubectl, logs, "next")
        assert await follower.lines(1) == ["next"]


async def test_all_containers_together(reader: Dashboard, logs: str) -> None:
    async with events(reader, f"{logs}/echo/app", containers="*") as follower:
        seen: dict[str, list[str]] = {}
        while len(seen) < 2:
            _, found = await follower.next()
            seen[found["container"]] = [line["content"] for line in found["logs"]]
    assert seen["side"] == ["beside"]
    assert seen["app"][0] == "begin"
    assert "app=" in follower.last_id
    assert "side=" in follower.last_id


async def test_by_websocket_until_the_container_ends(reader: Dashboard, kubectl: Kubectl, logs: str) -> None:
    async with socket(reader, f"{logs}/ending/app") as opened:
        first = await opened.receive_json(timeout=LIMIT_S)
        assert (first["type"], first["container"]) == ("lines", "app")
        assert [line["content"] for line in first["logs"]] == ["begun"]
        assert first["id"].startswith("app=")
        await opened.send_json({"type": "ping"})
        assert await opened.receive_json(timeout=LIMIT_S) == {"type": "pong"}
        await asyncio.to_thread(kubectl.exec, logs, "ending", ["/bin/busybox", "touch", "/end"])
        last = await opened.receive_json(timeout=LIMIT_S)
        assert [line["content"] for line in last["logs"]] == ["ended"]
        assert await opened.receive_json(timeout=LIMIT_S) == {"type": "ended", "container": "app"}
        closing = await opened.receive(timeout=LIMIT_S)
        assert (closing.type, closing.data, closing.extra) == (aiohttp.WSMsgType.CLOSE, 1000, "The log has ended")
    async with events(reader, f"{logs}/ending/app") as follower:
        assert await follower.lines(2) == ["begun", "ended"]
        assert (await follower.next())[1] == {"type": "ended", "container": "app"}
        assert await follower.next() == ("end", {})
        assert await follower.next() == ("", None)


def init_statuses(kubectl: Kubectl, namespace: str, pod: str) -> list[dict[str, Any]]:
    """Of a pod's init containers; none before the kubelet has seen the pod."""
    return list(kubectl.get(namespace, "pod", pod)["status"].get("initContainerStatuses", []))


async def test_a_container_that_waits_is_waited_for(
    reader: Dashboard, cluster: ClusterInfo, kubectl: Kubectl, logs: str
) -> None:
    first = container(cluster, "while [ ! -e /go ]; do sleep 0.2; done", name="init")
    kubectl.apply(pod("later", logs, container(cluster, f"echo here; {FOREVER}"), init=first))
    until(lambda: any("running" in each["state"] for each in init_statuses(kubectl, logs, "later")))
    async with events(reader, f"{logs}/later/app") as follower:
        _, found = await follower.next()
        assert (found["type"], "waiting to start" in found["message"]) == ("waiting", True)
        await asyncio.to_thread(kubectl.exec, logs, "later", ["/bin/busybox", "touch", "/go"], container="init")
        assert await follower.lines(1) == ["here"]


async def test_who_may_not(dashboard: Dashboard, reader: Dashboard, kubectl: Kubectl, logs: str) -> None:
    with account(kubectl, logs) as token:
        nobody = dashboard.as_token(token)
        assert (await nobody.get(f"/log/follow/{logs}/echo/app")).status == 403
        async with socket(nobody, f"{logs}/echo/app") as opened:
            frame = await opened.receive_json(timeout=LIMIT_S)
            assert (frame["type"], frame["ErrStatus"]["code"]) == ("failure", 403)
            assert (await opened.receive(timeout=LIMIT_S)).data == 4403
    assert (await reader.get(f"/log/follow/{logs}/none/app")).status == 404
    assert (await dashboard.as_token("").get(f"/log/follow/{logs}/echo/app")).status == 401


async def test_what_is_not_valid(reader: Dashboard, logs: str) -> None:
    many = ",".join(f"c{number}" for number in range(30))
    for given in ({"after": "x"}, {"tailLines": "-1"}, {"sinceTime": "x"}, {"containers": many}):
        assert (await reader.get(f"/log/follow/{logs}/echo/app", **given)).status == 400, given


async def test_one_caller_has_so_many_connections(reader: Dashboard, logs: str) -> None:
    path = f"{logs}/echo/side"
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(socket(reader, path))
        async with asyncio.timeout(LIMIT_S):
            while (refused := await _status(reader, path)) == 200:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.2)  # the last ones are not there yet
        assert refused == 429


async def _status(reader: Dashboard, path: str) -> int:
    """Of a follower who looks at the answer's head alone."""
    url = f"{reader.url}{reader.prefix}/log/follow/{path}"
    async with reader.session.get(url, headers=reader.headers) as answer:
        return answer.status


async def test_a_right_or_a_login_that_is_taken_away_ends_it(
    dashboard: Dashboard, dashboard_server: RunningServer, kubectl: Kubectl, logs: str
) -> None:
    """Both at once, for either takes the ten seconds between two looks."""
    root = Dashboard(dashboard.session, dashboard.url, dashboard.token, "")
    name = f"ann-{secrets.token_hex(4)}"
    user = {"username": name, "password": "only for tests 2", "role": "viewer"}
    assert (await root.call("POST", "/config/user/create", user, headers={"X-CSRF-TOKEN": "none"})).status == 200
    kubectl("-n", logs, "create", "rolebinding", name, "--clusterrole=view", f"--user=ksnap:{name}")
    login = await asyncio.to_thread(dashboard_server.login, name, "only for tests 2")
    with account(kubectl, logs, rules=RIGHTS) as token:
        async with (
            events(dashboard.as_token(token), f"{logs}/echo/app") as by_token,
            events(dashboard.as_token(login), f"{logs}/echo/app") as by_login,
        ):
            await by_token.lines(1)
            await by_login.lines(1)
            binding = (await dashboard.as_token(token).ok("/me"))["name"]
            await asyncio.to_thread(kubectl, "-n", logs, "delete", "rolebinding", binding)
            await root.call("DELETE", "/config/user/delete", {"username": name})
            assert await _failure(by_token) == 403
            assert await _failure(by_login) == 401


async def _failure(follower: Events) -> int:
    while (found := await follower.next())[0] != "failure":
        assert found[0] == "message"
    return int(found[1]["ErrStatus"]["code"])


async def test_the_read_ends_at_once_with_its_reader(
    reader: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo, logs: str, tmp_path: Path
) -> None:
    async with behind_a_proxy(dashboard_server, cluster, reader, tmp_path) as (proxied, proxy):
        async with events(proxied, f"{logs}/echo/app") as follower:
            await follower.lines(1)
            assert proxy.open == 1
        async with asyncio.timeout(LIMIT_S):
            while proxy.open:  # noqa: ASYNC110 - a connection of another process
                await asyncio.sleep(0.1)


async def test_a_cluster_that_is_lost_is_told(
    reader: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo, logs: str, tmp_path: Path
) -> None:
    async with behind_a_proxy(dashboard_server, cluster, reader, tmp_path) as (proxied, proxy):
        proxy.add(Fault("GET", "/log", CutAnswer(400_000)))
        async with events(proxied, f"{logs}/chatty/app", sinceTime="2000-01-01T00:00:00Z") as follower:
            count = 0
            while (found := await follower.next())[0] == "message":
                count += len(found[1]["logs"])
            assert (found[0], found[1]["ErrStatus"]["code"]) == ("failure", 502)
            seen = follower.last_id
        assert 0 < count < MANY
        async with events(proxied, f"{logs}/chatty/app", after=seen) as again:
            assert await again.lines(1) == [str(count + 1)]


async def test_one_who_does_not_read_is_dropped(dashboard_server: RunningServer, token: str, logs: str) -> None:
    """And hears why, once it reads again."""
    before = _dropped(dashboard_server)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=_narrow)) as session:
        sleeper = Dashboard(session, dashboard_server.url, token)
        query = {"sinceTime": "2000-01-01T00:00:00Z"}
        async with socket(sleeper, f"{logs}/chatty/app", query) as opened, asyncio.timeout(LIMIT_S):
            while _dropped(dashboard_server) == before:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.2)
            lines = 0
            while (message := await opened.receive()).type is aiohttp.WSMsgType.TEXT:
                lines += len(json.loads(message.data)["logs"])
            assert lines < MANY
            assert opened.close_code == 1013


def _dropped(server: RunningServer) -> int:
    return sum('"slow_reader_dropped"' in line for line in server.log)


def _narrow(address: Any) -> sockets.socket:
    """A socket that holds little, so that little must be written until it is full."""
    opened = sockets.socket(address[0], address[1], address[2])
    opened.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 256 * 1024)
    return opened
