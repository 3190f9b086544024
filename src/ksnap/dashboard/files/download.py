"""A file or folder of a container as a tar, read while the block lasts: `tar` runs there by Kubernetes' exec.

Nothing is given out before a first member came, so that what fails at once is an answer of its own. What fails later
is raised in the middle. Whoever goes ends the exec, and `tar` at its next write.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import structlog

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.files.outcome import WORDS_LIMIT, problem
from ksnap.dashboard.files.paths import WantedPath
from ksnap.dashboard.files.tar_stream import TarStream
from ksnap.errors import InvalidInput
from ksnap.kube.exec import ExecStream, open_exec
from ksnap.kube.exec_frames import STATUS_LIMIT, Channel, Data, Ending, Tail, parse_status
from ksnap.kube.failures import ClusterUnreachable

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_tar(
    at: ClusterAsCaller, namespace: str, pod: str, container: str, wanted: WantedPath
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The tar's pieces."""
    where = f"container {container} of pod {namespace}/{pod}"
    _log.info("pod_file_read", cluster=at.cluster, namespace=namespace, pod=pod, container=container)
    async with open_exec(at.api, namespace, pod, container, wanted.argv) as stream:
        running = _RunningTar(stream, wanted, f"{where} in cluster {at.cluster}")
        async with aclosing(running.pieces()) as pieces:
            beginning = await _beginning(running, pieces)
            yield _joined(beginning, pieces)


async def _beginning(running: "_RunningTar", pieces: AsyncGenerator[bytes, None]) -> bytes:
    """What comes up to the first member; all of it if there is none."""
    found = b""
    async for piece in pieces:
        found += piece
        if running.tar.members:
            return found
    raise InvalidInput("path cannot be downloaded: it is a device, a pipe or a socket", details=running.wanted.name)


async def _joined(beginning: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    yield beginning
    async for piece in rest:
        yield piece


@dataclass(slots=True)
class _RunningTar:
    """The command, and what it has said so far."""

    stream: ExecStream
    wanted: WantedPath
    where: str
    tar: TarStream = field(init=False)
    _words: Tail = field(default_factory=lambda: Tail(WORDS_LIMIT))
    _status: Tail = field(default_factory=lambda: Tail(STATUS_LIMIT))

    def __post_init__(self) -> None:
        self.tar = TarStream(self.wanted.name)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What may be passed on; the command's failure at its end."""
        async for message in self.stream.messages():
            if not isinstance(message, Data):
                continue
            match message.channel:
                case Channel.STDOUT:
                    if piece := self.tar.feed(message.data):
                        yield piece
                case Channel.STDERR:
                    self._words.add(message.data)
                case Channel.ERROR:
                    self._status.add(message.data)
        self._check(parse_status(bytes(self._status)))

    def _check(self, ending: Ending | None) -> None:
        if ending is None:
            raise ClusterUnreachable("The connection to a command in a container broke", details=self.where)
        words = bytes(self._words).decode("utf-8", "replace")
        path = f"{self.wanted.parent.rstrip('/')}/{self.wanted.name} in {self.where}"
        failed = problem(ending, words, path=path, has_begun=self.tar.members > 0)
        if failed is not None:
            raise failed
        self.tar.finish()
