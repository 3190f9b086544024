"""A terminal over SockJS beside `kubectl exec -it`: one key's echo, and a hundred megabytes through a tty.

    python -m bench.terminal [--keys 300] [--floods 5]

Both are attached to the same container and take turns: kubectl in a pseudo-terminal of its own, as somebody at a
terminal has it; ours by a client that speaks SockJS's frames over a WebSocket, as a browser does, to a server in a
process of its own. The peer, the server, the API server and the node share this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pty
import sys
import tempfile
import time
import tty
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
import uvloop

from bench.report import Series, Target, series_table, targets_table, write
from dev.cluster.info import ClusterInfo, load
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import account, open_dashboard
from tests.cluster.dashboard.terminal import RULES, idle_pod, opened, own_server
from tests.cluster.namespaces import own_namespace

POD = "bench-terminal"
ECHO_BOUND = 1.5
FLOOD_BOUND = 0.9
FLOOD_BYTES = 100_000_000
KEYS_A_TURN = 50
WARM_UP_KEYS = 20
READ_BYTES = 1 << 16
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A pod, a server, and who may open terminals."""

    cluster: ClusterInfo
    url: str
    token: str
    namespace: str


class Terminal(Protocol):
    """A shell with a terminal."""

    async def send(self, text: str) -> None:
        """Type."""

    async def receive(self) -> str:
        """Some output, as soon as there is any."""


class Kubectls:
    """`kubectl exec -it`. Its pseudo-terminal is read by the event loop, as ours is."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._shown: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(master, self._read)

    async def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def receive(self) -> str:
        return (await self._shown.get()).decode("utf-8", "replace")

    def _read(self) -> None:
        self._shown.put_nowait(os.read(self._master, READ_BYTES))


@contextlib.asynccontextmanager
async def kubectls(stage: Stage) -> AsyncIterator[Terminal]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    words = ["exec", "-it", f"--namespace={stage.namespace}", POD, "--", "bash"]
    process = await asyncio.create_subprocess_exec(
        stage.cluster.tools["kubectl"],
        *words,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "KUBECONFIG": str(stage.cluster.kubeconfig)},
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Kubectls(master)
    finally:
        asyncio.get_running_loop().remove_reader(master)
        process.terminate()
        await process.wait()
        os.close(master)


class Ours:
    """Over SockJS's WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        await self.say(Op="stdin", Data=text)

    async def say(self, **message: object) -> None:
        await self._socket.send_str(json.dumps([json.dumps(message)]))

    async def receive(self) -> str:
        frame = await self._socket.receive_str()
        if not frame.startswith("a"):
            return ""
        messages = [json.loads(each) for each in json.loads(frame[1:])]
        return "".join(each["Data"] for each in messages if each["Op"] == "stdout")


@contextlib.asynccontextmanager
async def ours(stage: Stage) -> AsyncIterator[Terminal]:
    async with open_dashboard(stage.url, stage.token) as caller:
        session_id = await opened(caller, stage.namespace, POD, "bash")
        async with caller.session.ws_connect(f"{stage.url}/api/sockjs/1/bench/websocket", max_msg_size=0) as socket:
            terminal = Ours(socket)
            await terminal.say(Op="bind", SessionID=session_id)
            yield terminal


async def until(terminal: Terminal, text: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        tail = ""
        while text not in tail:
            tail = tail[-len(text) :] + await terminal.receive()


async def echoes_ms(terminal: Terminal, keys: int) -> list[float]:
    """Of single keys, which the terminal of `cat` echoes."""
    await terminal.send("echo re''ady; cat > /dev/null\r")
    await until(terminal, "ready\r\n")
    found = []
    for _ in range(keys):
        began = time.perf_counter()
        await terminal.send("k")
        while "k" not in await terminal.receive():
            pass
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.002)  # a hand is slower yet
    await terminal.send("\r\x04")
    await terminal.send("echo do''ne\r")
    await until(terminal, "done\r\n")
    return found


async def flood_mb_s(terminal: Terminal) -> float:
    """Megabytes a second, from the return key to the last word."""
    began = time.perf_counter()
    await terminal.send(f"yes {'x' * 99} | head -c {FLOOD_BYTES}; echo do''ne\r")
    await until(terminal, "done\r\n")
    return FLOOD_BYTES / 1e6 / (time.perf_counter() - began)


async def compare(stage: Stage, keys: int, floods: int) -> list[Series]:
    """Echoes and floods of ours, and of kubectl."""
    names = ("ksnap", "kubectl")
    echoes = {name: Series(name, "ms") for name in names}
    rates = {name: Series(name, "MB/s") for name in names}
    async with kubectls(stage) as theirs, ours(stage) as own:
        terminals: dict[str, Terminal] = {"ksnap": own, "kubectl": theirs}
        for terminal in terminals.values():
            await echoes_ms(terminal, WARM_UP_KEYS)
        for _ in range(max(1, keys // KEYS_A_TURN)):
            for name, terminal in terminals.items():
                echoes[name].values += await echoes_ms(terminal, KEYS_A_TURN)
        for _ in range(floods):
            for name, terminal in terminals.items():
                rates[name].values.append(await flood_mb_s(terminal))
    return [*echoes.values(), *rates.values()]


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    cluster = load()
    kubectl = Kubectl(cluster)
    with own_namespace(kubectl) as namespace, tempfile.TemporaryDirectory() as folder:
        kubectl.apply(idle_pod(cluster, namespace, POD, "debian-python", ("sleep", "100000")))
        kubectl.wait_ready(namespace, POD)
        with account(kubectl, namespace, rules=RULES) as token, own_server(cluster, Path(folder) / "data") as server:
            yield Stage(cluster, server.url, token, namespace)


def measure(keys: int, floods: int) -> list[Series]:
    # As little of the client as can be: a browser's is no Python at all.
    with staged() as stage, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(compare(stage, keys, floods))


def report(series: list[Series]) -> None:
    echo, kubectl_echo, rate, kubectl_rate = series
    targets = [
        Target("terminal: echo of one key / kubectl exec -it", echo.median / kubectl_echo.median, ECHO_BOUND),
        Target(
            "terminal: 100 MB through a tty / kubectl exec -it",
            rate.median / kubectl_rate.median,
            FLOOD_BOUND,
            at_least=True,
        ),
    ]
    about = {"keys": len(echo.values), "floods": len(rate.values), "flood_bytes": FLOOD_BYTES}
    path = write("terminal", series=series, targets=targets, about=about)
    tables = [series_table(series[:2], reference=kubectl_echo), series_table(series[2:], reference=kubectl_rate)]
    print("\n" + "\n\n".join([*tables, targets_table(targets)]))
    print(f"written to {path}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="A terminal over SockJS beside kubectl exec -it")
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--floods", type=int, default=5)
    options = parser.parse_args()
    report(measure(options.keys, options.floods))


if __name__ == "__main__":
    main()
