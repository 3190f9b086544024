"""A client of terminals, over a plain WebSocket, and the pods that they are in."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, Rule, configure, rule
from tests.parties.server import RunningServer, running_server

LIMIT_S = 30.0
EOT = "\x04"
RULES: tuple[Rule, ...] = (
    rule("pods", "get"),
    rule("pods/exec", "get", "create"),
    rule("pods/attach", "get", "create"),
    rule("pods/ephemeralcontainers", "patch"),
)


@dataclass(slots=True)
class Terminal:
    """One connection. What it is told is kept in `output` and `toasts`, and why it ended in `closing`."""

    socket: aiohttp.ClientWebSocketResponse
    output: str = ""
    toasts: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    closing: tuple[int, str] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, **message: object) -> None:
        await self.socket.send_str(json.dumps(message))

    async def bind(self, session_id: str) -> None:
        await self.send(Op="bind", SessionID=session_id)

    async def type(self, text: str) -> None:
        await self.send(Op="stdin", Data=text, SessionID="", Rows=24, Cols=80)

    async def resize(self, rows: int, cols: int) -> None:
        await self.send(Op="resize", Rows=rows, Cols=cols)

    async def shows(self, text: str) -> None:
        """Until the terminal has shown this."""
        await self._until(lambda: text in self.output, f"{text!r} was not shown")

    async def is_told(self, text: str) -> None:
        await self._until(lambda: any(text in toast for toast in self.toasts), f"no toast with {text!r}")

    async def ends(self) -> tuple[int, str]:
        """The contract's code, and the reason."""
        await self._until(lambda: self.closing is not None, "it was not closed")
        assert self.closing is not None
        return self.closing

    async def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while not happened():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            shown = f"{self.output[-600:]!r}, {self.toasts}, {self.closing}"
            raise AssertionError(f"{otherwise}; {shown}") from None

    async def listen(self) -> None:
        """Until the connection ends."""
        while True:
            message = await self.socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    said = json.loads(message.data)
                    self.messages.append(said)
                    if said["Op"] == "stdout":
                        self.output += said["Data"]
                    else:
                        self.toasts.append(said["Data"])
                case aiohttp.WSMsgType.CLOSE:
                    self.closing = (message.data - 4000, message.extra or "")
                case _:
                    self.closing = self.closing or (0, "the connection broke")
            self._news.set()
            if self.closing is not None:
                return


@asynccontextmanager
async def connected(dashboard: Dashboard, session_id: str, **headers: str) -> AsyncIterator[Terminal]:
    """A connection to a session, not bound yet."""
    url = f"{dashboard.url}/api/v1/terminal/{session_id}"
    async with dashboard.session.ws_connect(url, headers=headers, max_msg_size=0) as socket:
        terminal = Terminal(socket)
        listening = asyncio.create_task(terminal.listen())
        try:
            yield terminal
        finally:
            listening.cancel()


async def opened(dashboard: Dashboard, namespace: str, pod: str, shell: str = "", container: str = "app") -> str:
    """The id of a new session."""
    answer = await dashboard.ok(f"/pod/{namespace}/{pod}/shell/{container}", shell=shell)
    return str(answer["id"])


@asynccontextmanager
async def shell_in(dashboard: Dashboard, namespace: str, pod: str, shell: str = "") -> AsyncIterator[Terminal]:
    """A bound session; a client that goes says no goodbye."""
    session_id = await opened(dashboard, namespace, pod, shell)
    async with connected(dashboard, session_id) as terminal:
        await terminal.bind(session_id)
        yield terminal


def idle_pod(
    cluster: ClusterInfo, namespace: str, name: str, image: str, command: Sequence[str] = ()
) -> dict[str, Any]:
    """One that ends at once when it is told to."""
    container = {"name": "app", "image": cluster.images[image]}
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container | ({"command": list(command)} if command else {})],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def count_processes(kubectl: Kubectl, namespace: str, pod: str, words: str) -> int:
    """How many processes of a pod's container have these words in their command line."""
    # The command that looks has its own words in two pieces, so as not to find itself.
    look = (
        "n=0; for each in /proc/[0-9]*/cmdline; do "
        "case $(tr '\\0' ' ' < $each 2> /dev/null) in *\"$0$1\"*) n=$((n + 1));; esac; done; echo $n"
    )
    return int(kubectl.exec(namespace, pod, ["sh", "-c", look, words[:3], words[3:]]))


async def gone(kubectl: Kubectl, namespace: str, pod: str, words: str, *, within_s: float) -> None:
    """Until no process is left that has these words in its command line."""
    async with asyncio.timeout(within_s):
        # Nothing tells of the end of a process in a pod.
        while await asyncio.to_thread(count_processes, kubectl, namespace, pod, words):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


@contextmanager
def own_server(cluster: ClusterInfo, data_dir: Path, **settings: str) -> Iterator[RunningServer]:
    """A server of the test's own, with the development cluster as its default one."""
    with running_server(data_dir, {f"KSNAP_{name.upper()}": value for name, value in settings.items()}) as server:
        kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
        configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
        yield server


def resident_bytes(server: RunningServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def audited(server: RunningServer, action: str) -> list[dict[str, Any]]:
    """The trail's lines of one kind."""
    lines = [json.loads(each) for each in server.log if '"audited"' in each]
    return [each for each in lines if each["action"] == action]


async def until_audited(server: RunningServer, action: str, outcome: str, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        # The log is read by a thread.
        while sum(each["outcome"] == outcome for each in audited(server, action)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def once_it_is(size: str) -> str:
    """A command that ends when the terminal has a size: sizes and keys go separate ways to the kubelet, in no order."""
    return f"until [ \"$(stty size)\" = '{size}' ]; do sleep 0.1; done"
