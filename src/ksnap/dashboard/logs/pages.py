"""A page of a container's log, as the Dashboard shows it (contract, sections 11.1 to 11.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.logs.lines import LogLine, parse_line, split_lines
from ksnap.dashboard.logs.query import MOST_LINES, PageQuery
from ksnap.dashboard.logs.selection import BEGINNING, NOTHING, Selection, select
from ksnap.errors import KsnapError, NotFound
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.logs import LogOptions, read_log
from ksnap.kube.pods import get_pod

# Of a log that is read from its beginning.
FIRST_BYTES = 500_000
# Of one that is read from its end: 5,000 lines of 3 KiB. Longer ones lose those in front, and the page says so.
LAST_BYTES = 16 << 20
# The kubelet's own words, as the API server passes them on with 400: there is no log yet. (Of a pod without a node the
# API server itself answers 200, and nothing.)
_NO_LOG_YET = "waiting to start"
_NO_PREVIOUS = ("previous terminated container", "not found")


class LogInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a page is of."""

    pod_name: str
    container_name: str
    init_container_name: str
    from_date: str
    to_date: str
    truncated: bool
    error: str = ""
    """Why there is no log; left out where there is one."""


class LogDetails(msgspec.Struct, frozen=True):
    """The reply."""

    info: LogInfo
    selection: Selection
    logs: list[LogLine]


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a log."""

    lines: list[bytes]
    is_part: bool = False
    """There may be more, beyond the edge."""
    error: str = ""
    """There is no log, for this reason; it is the one line then."""


async def log_page(at: ClusterAsCaller, namespace: str, pod: str, container: str, query: PageQuery) -> LogDetails:
    """The lines that are asked for; of the first container if none is named (empty).

    The right to the log alone is enough for a container that is named.
    """
    container = container or await first_container(at, namespace, pod)
    read = await _read(at, namespace, pod, container, query)
    # After the log, which it adds nothing to: whoever may not see the pod does not learn this.
    is_init = await _is_init_container(at, namespace, pod, container)
    return page_of(read, query.selection, pod=pod, container=container, is_init=is_init)


def page_of(read: Read, asked: Selection, *, pod: str, container: str, is_init: bool) -> LogDetails:
    """The page out of what was read."""
    found = select(read.lines, asked)
    chosen = [parse_line(line) for line in read.lines[found.start : found.stop]] if found else []
    info = LogInfo(
        pod_name=pod,
        container_name=container,
        init_container_name=container if is_init else "",
        from_date=chosen[0].timestamp if found else "",
        to_date=chosen[-1].timestamp if found else "",
        truncated=bool(found and found.at_edge and read.is_part),
        error=read.error,
    )
    return LogDetails(info, found.selection if found else NOTHING, chosen)


async def first_container(at: ClusterAsCaller, namespace: str, pod: str) -> str:
    """The name of a pod's first container that is not an init container."""
    found = await get_pod(at.api, namespace, pod)
    names = container_names(found.get("spec"), "containers")
    if not names:
        raise NotFound("The pod has no containers", details=f"pod {namespace}/{pod}")
    return names[0]


def container_names(spec: Mapping[str, Any] | None, kind: str) -> list[str]:
    """Names out of a pod's spec; `kind` is `containers` or `initContainers`."""
    return [str(each["name"]) for each in (spec or {}).get(kind) or []]


def is_no_log_yet(error: KubeRefusal) -> bool:
    """Whether it is refused only since the container has not started."""
    return error.status == 400 and _NO_LOG_YET in error.api_message


def _is_no_previous(error: KubeRefusal) -> bool:
    return error.status == 400 and all(words in error.api_message for words in _NO_PREVIOUS)


async def _read(at: ClusterAsCaller, namespace: str, pod: str, container: str, query: PageQuery) -> Read:
    at_beginning = query.selection.log_file_position == BEGINNING
    options = LogOptions(
        container,
        previous=query.previous,
        timestamps=True,
        since_time=query.since_time,
        limit_bytes=FIRST_BYTES if at_beginning else None,
        tail_lines=None if at_beginning else MOST_LINES,
    )
    try:
        body, has_lost_front = await read_log(at.api, namespace, pod, options, most_bytes=LAST_BYTES)
    except KubeRefusal as error:
        if is_no_log_yet(error) or _is_no_previous(error):
            return Read(split_lines(error.api_message.encode()), error=error.api_message)
        raise
    return first_part(body) if at_beginning else last_part(body, has_lost_front=has_lost_front)


def first_part(body: bytes) -> Read:
    """The lines of a log's first bytes. The last one was cut where the limit was reached: it is not a line."""
    lines = split_lines(body)
    is_part = len(body) >= FIRST_BYTES
    if is_part and not body.endswith(b"\n") and len(lines) > 1:
        lines.pop()
    return Read(lines, is_part)


def last_part(body: bytes, *, has_lost_front: bool) -> Read:
    """The lines of a log's end; the first is cut where there was more than is kept."""
    lines = split_lines(body)
    if has_lost_front and len(lines) > 1:
        del lines[0]
    return Read(lines, has_lost_front or len(lines) >= MOST_LINES)


async def _is_init_container(at: ClusterAsCaller, namespace: str, pod: str, container: str) -> bool:
    try:
        found = await get_pod(at.api, namespace, pod)
    except KsnapError:
        return False
    return container in container_names(found.get("spec"), "initContainers")
