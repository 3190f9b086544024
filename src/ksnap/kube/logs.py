"""A container's log as bytes, as the kubelet keeps it: what `pods/log` of the API server answers.

The kubelet keeps one file per instance of a container, and rotates it: what is asked for is the newest one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.failures import ClusterTimedOut
from ksnap.kube.pods import pods_path

# Errors come as a Status, the log itself as text.
ACCEPTED = {"Accept": "application/json, */*"}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a log (PodLogOptions, core/v1)."""

    container: str
    previous: bool = False
    """Of the instance before the present one."""
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_time: str | None = None
    """RFC 3339. The API server passes whole seconds on: some lines before it may come, too."""
    follow: bool = False

    def query(self) -> dict[str, str]:
        given = {
            "tailLines": self.tail_lines,
            "limitBytes": self.limit_bytes,
            "sinceTime": self.since_time,
            "previous": "true" if self.previous else None,
            "timestamps": "true" if self.timestamps else None,
            "follow": "true" if self.follow else None,
        }
        return {"container": self.container} | {name: str(value) for name, value in given.items() if value is not None}


class LogSilent(ClusterTimedOut):
    """Nothing came for the time that was allowed; of a quiet log that is followed not even the answer's head comes."""


@asynccontextmanager
async def open_log(
    connection: ClusterConnection, namespace: str, pod: str, options: LogOptions, *, silence_s: float | None = None
) -> AsyncIterator[aiohttp.StreamReader]:
    """A log being read, until the block ends, and the read with it.

    Refusals are raised before the block begins; a connection that breaks raises ClusterUnreachable inside, and one
    that is silent for `silence_s` (the cluster's timeout without it) LogSilent.
    """
    timeout_s = connection.config.timeout_s
    deadlines = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=silence_s or timeout_s)
    path = pods_path(namespace, pod) + "/log"
    try:
        async with connection.request(
            "GET", path, params=options.query(), headers=ACCEPTED, deadlines=deadlines
        ) as response:
            if response.status >= 400:
                body = await response.content.read(ERROR_BODY_LIMIT)
                what = f"log of container {options.container} of pod {namespace}/{pod}"
                raise connection.refused(response.status, body, what)
            yield response.content
    except ClusterTimedOut as error:
        if not isinstance(error.__cause__, aiohttp.SocketTimeoutError):
            raise
        raise LogSilent(error.message, details=error.details, hint=error.hint) from error


async def read_log(
    connection: ClusterConnection, namespace: str, pod: str, options: LogOptions, *, most_bytes: int
) -> tuple[bytes, bool]:
    """A part of a log whole, and whether its front is missing: of what is longer, the last `most_bytes` are kept.

    A line has any length, so a number of lines alone bounds nothing.
    """
    kept: list[bytes] = []
    size, dropped = 0, False
    async with open_log(connection, namespace, pod, options) as stream:
        async for chunk in stream.iter_any():
            kept.append(chunk)
            size += len(chunk)
            if size > 2 * most_bytes:  # now and then, for each time costs a copy of all
                kept, size, dropped = [b"".join(kept)[-most_bytes:]], most_bytes, True
    whole = b"".join(kept)
    if len(whole) > most_bytes:
        return whole[-most_bytes:], True
    return whole, dropped
