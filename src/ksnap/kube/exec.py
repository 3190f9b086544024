"""A command in a container, through the API server: Kubernetes' exec over WebSocket.

The command's process is the container's, not ours: ending the connection, at a deadline too, does not end it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from ksnap.kube.connection import ClusterConnection
from ksnap.kube.exec_frames import PROTOCOLS, STATUS_LIMIT, Channel, Closed, Data, Ending, Tail, parse, parse_status
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.pods import pods_path

# The last of each stream that is kept: some screens of text.
KEPT_BYTES = 16 * 1024
# What was written before the end may come after the Status; a server that then does not close is not waited for.
LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class Executed:
    """A command that ended. Its output is foreign text, and may hold secrets."""

    exit_code: int | None
    """None: it could not be run."""
    message: str
    """The cluster's own word on that."""
    stdout: bytes
    stderr: bytes
    """The last of each."""


class ExecStream:
    """A command's channels, one in each direction. Made by `open_exec`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        """One message of `exec_frames`; ClusterUnreachable once the connection has ended."""
        try:
            await self._socket.send_bytes(message)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ClusterUnreachable("The connection to a command in a container has ended") from error

    async def messages(self) -> AsyncIterator[Data | Closed]:
        """What comes, until the connection ends, in whatever way: only a Status says how the command did."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY and (parsed := parse(message.data)) is not None:
                yield parsed


@asynccontextmanager
async def open_exec(
    connection: ClusterConnection,
    namespace: str,
    pod: str,
    container: str,
    argv: Sequence[str],
    *,
    channels: Sequence[Channel] = (Channel.STDOUT, Channel.STDERR),
    tty: bool = False,
) -> AsyncIterator[ExecStream]:
    """Begin a command with these of the channels 0 to 2. NotFound without the pod, ClusterConnectionFailed without the
    right."""
    asked = [("container", container), *(("command", each) for each in argv)]
    async with _open(connection, namespace, pod, "exec", [*asked, *_streams(channels, tty=tty)]) as stream:
        yield stream


@asynccontextmanager
async def open_attach(
    connection: ClusterConnection, namespace: str, pod: str, container: str, *, channels: Sequence[Channel], tty: bool
) -> AsyncIterator[ExecStream]:
    """The same channels of the process that a container began with."""
    asked = [("container", container), *_streams(channels, tty=tty)]
    async with _open(connection, namespace, pod, "attach", asked) as stream:
        yield stream


def _streams(channels: Sequence[Channel], *, tty: bool) -> list[tuple[str, str]]:
    asked = [(channel.name.lower(), "true") for channel in channels]
    return [*asked, ("tty", "true")] if tty else asked


@asynccontextmanager
async def _open(
    connection: ClusterConnection, namespace: str, pod: str, subresource: str, asked: Sequence[tuple[str, str]]
) -> AsyncIterator[ExecStream]:
    what = f"{subresource} in container {asked[0][1]} of pod {namespace}/{pod}"
    async with connection.websocket(
        f"{pods_path(namespace, pod)}/{subresource}", what=what, params=asked, protocols=PROTOCOLS
    ) as socket:
        yield ExecStream(socket)


async def execute(
    connection: ClusterConnection,
    namespace: str,
    pod: str,
    container: str,
    argv: Sequence[str],
    *,
    deadline_s: float,
    kept_bytes: int = KEPT_BYTES,
) -> Executed:
    """Run a command to its end. TimeoutError after the deadline; ClusterUnreachable if the connection broke before."""
    stdout, stderr, status = Tail(kept_bytes), Tail(kept_bytes), Tail(STATUS_LIMIT)
    by_channel = {Channel.STDOUT: stdout, Channel.STDERR: stderr, Channel.ERROR: status}
    ending: Ending | None = None
    async with asyncio.timeout(deadline_s), open_exec(connection, namespace, pod, container, argv) as stream:
        try:
            async with asyncio.timeout(None) as lingering:
                async for message in stream.messages():
                    if not isinstance(message, Data) or message.channel not in by_channel:
                        continue
                    by_channel[message.channel].add(message.data)
                    if message.channel is Channel.ERROR and (ending := parse_status(bytes(status))) is not None:
                        lingering.reschedule(asyncio.get_running_loop().time() + LINGER_S)
        except TimeoutError:
            if ending is None:
                raise
    if ending is None:
        raise ClusterUnreachable(
            "The connection to a command in a container broke",
            details=f"container {container} of pod {namespace}/{pod} in cluster {connection.name}",
        )
    return Executed(ending.exit_code, ending.message, bytes(stdout), bytes(stderr))
