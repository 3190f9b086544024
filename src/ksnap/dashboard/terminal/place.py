"""Where a session's shells run, as whom, and how they are begun."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from ksnap.kube.connection import ClusterConnection, Json
from ksnap.kube.exec import ExecStream, Executed, execute, open_attach, open_exec
from ksnap.kube.exec_frames import Channel
from ksnap.kube.pods import get_pod

_CHANNELS = (Channel.STDIN, Channel.STDOUT)
"""A terminal has no standard error of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """A container of a pod, for a caller."""

    api: ClusterConnection
    """As the caller."""
    cluster: str
    namespace: str
    pod: str
    container: str

    def shell(self, shell: str) -> AbstractAsyncContextManager[ExecStream]:
        """Begin one with a terminal."""
        return open_exec(self.api, self.namespace, self.pod, self.container, [shell], channels=_CHANNELS, tty=True)

    def first_process(self) -> AbstractAsyncContextManager[ExecStream]:
        """The one that the container began with, which has a terminal."""
        return open_attach(self.api, self.namespace, self.pod, self.container, channels=_CHANNELS, tty=True)

    async def run(self, argv: Sequence[str], *, deadline_s: float, kept_bytes: int) -> Executed:
        """A short command beside it."""
        return await execute(
            self.api,
            self.namespace,
            self.pod,
            self.container,
            argv,
            deadline_s=deadline_s,
            kept_bytes=kept_bytes,
        )

    async def pod_now(self) -> Json:
        return await get_pod(self.api, self.namespace, self.pod)

    @property
    def named(self) -> str:
        """For the trail."""
        return f"{self.cluster}/{self.namespace}/{self.pod}/{self.container}"
