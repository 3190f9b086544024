"""The server's client of one agent: typed calls of `protocol.py` over whatever leads to the agent.

The way there is a `Transport`; `ksnap.kube.pod_proxy.PodProxy` is one, and adds the token. Errors of the agent come
out as the classes they were there. Bulk bytes pass in chunks; the caller writes them on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from ksnap.errors import ClusterConnectionFailed, KsnapError, NotFound, by_code
from ksnap.node.protocol import (
    HEARTBEAT_S,
    CaptureEvent,
    CaptureRequest,
    CaptureState,
    Confirmation,
    ContainerEvidence,
    ImageRequest,
    ImageState,
    ImageStatus,
    NodeReport,
    UndoRequest,
    WireError,
)

M = TypeVar("M", bound=BaseModel)

_ANSWER_LIMIT = 8 << 20
_ERROR_LIMIT = 64 * 1024
# An agent waits for the end of what a DELETE or a confirmation stops; longer than its own patience.
_SLOW_S = 60.0
# Between two looks at an image that is pulled: soon at first, a small one is there in no time.
_FIRST_LOOK_S = 0.05
_LOOK_S = 0.5
# Two heartbeats may be lost on a busy machine, three are silence.
_SILENCE_S = 3 * HEARTBEAT_S


class Response(Protocol):
    """An answer, read once."""

    status: int

    async def read(self, limit: int) -> bytes:
        """The body, at most so much of it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""

    def lines(self) -> AsyncIterator[bytes]:
        """The body line by line, empty ones too, without their ends."""


class Transport(Protocol):
    """A way to one agent that adds the caller's token; its own failures are KsnapErrors."""

    def open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        """One exchange. `silence_s` bounds the wait for each piece of the answer."""


class AgentClient:
    """One agent. Holds no connection of its own; cheap to make."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def node_report(self) -> NodeReport:
        return await self._call("GET", "/v1/node", NodeReport)

    async def start_capture(self, capture_id: str, request: CaptureRequest) -> CaptureState:
        """Start, resume, or just learn where it stands; may be repeated."""
        # The body holds the registry's password: made here, sent at once, kept nowhere.
        return await self._call("PUT", _path(capture_id), CaptureState, request)

    async def captures(self) -> list[CaptureState]:
        """All that the node's journal knows."""
        async with self._open("GET", "/v1/captures") as response:
            raw = await response.read(_ANSWER_LIMIT)
        return [_parse(CaptureState, each) for each in _json_list(raw)]

    async def capture(self, capture_id: str) -> CaptureState:
        return await self._call("GET", _path(capture_id), CaptureState)

    async def confirm(self, capture_id: str, confirmation: Confirmation) -> CaptureState:
        """Tell what was stored: `digest` and `size_bytes` of the stream as it came, or of the archive in it."""
        return await self._call("POST", _path(capture_id, "confirm"), CaptureState, confirmation, silence_s=_SLOW_S)

    async def undo(self, capture_id: str, request: UndoRequest | None = None) -> CaptureState:
        """Cancel, undo, forget; may be repeated. A state that still runs says that a dump has to end first."""
        return await self._call("DELETE", _path(capture_id), CaptureState, request or UndoRequest(), silence_s=_SLOW_S)

    async def container(self, container_id: str) -> ContainerEvidence:
        """The runtime's own record of a container's start; `container_id` as in the pod's status."""
        bare = container_id.rpartition("://")[2]
        return await self._call("GET", f"/v1/containers/{quote(bare, safe='')}", ContainerEvidence)

    async def prefetch_image(self, digest: str, request: ImageRequest) -> ImageState:
        """Have an image unpacked on the node, and permit it; answers at once, may be repeated."""
        # The body holds the registry's password: made here, sent at once, kept nowhere.
        return await self._call("PUT", _image_path(digest), ImageState, request)

    async def image(self, digest: str) -> ImageState:
        return await self._call("GET", _image_path(digest), ImageState)

    async def images(self) -> list[ImageState]:
        """All that are on the node, on their way there, or failed to come."""
        async with self._open("GET", "/v1/images") as response:
            raw = await response.read(_ANSWER_LIMIT)
        return [_parse(ImageState, each) for each in _json_list(raw)]

    async def drop_image(self, digest: str) -> ImageState:
        """Remove an image and its permits; Conflict while a container's start uses it."""
        return await self._call("DELETE", _image_path(digest), ImageState, silence_s=_SLOW_S)

    async def clear_failures(self, digest: str) -> ImageState:
        """Let an image be restored again that had failed too often."""
        return await self._call("DELETE", _image_path(digest, "failures"), ImageState)

    async def image_ready(
        self, digest: str, *, told: Callable[[ImageState], None] | None = None, patience_s: float = 60.0
    ) -> ImageState:
        """Wait for a prefetch's end, over lost connections too; `told` gets each state on the way.

        Its failure comes out as the error that it was on the node. NotFound says that nobody is pulling it: the agent
        was restarted, and `prefetch_image` has to be repeated. A connection that cannot be had again for `patience_s`
        ends the wait with that connection's error.
        """
        clock = asyncio.get_running_loop().time
        heard_at, wait_s = clock(), _FIRST_LOOK_S
        while True:
            try:
                state = await self.image(digest)
            except ClusterConnectionFailed:
                if clock() - heard_at > patience_s:
                    raise
            else:
                heard_at = clock()
                if told is not None:
                    told(state)
                match state:
                    case ImageState(status=ImageStatus.READY):
                        return state
                    case ImageState(status=ImageStatus.FAILED, error=WireError() as error):
                        kind = by_code(error.code, error.status)
                        raise kind(error.message, details=error.details, hint=error.hint)
                    case ImageState(status=ImageStatus.ABSENT | ImageStatus.FAILED):
                        raise NotFound("The node does not have the image", details=digest, hint="Prefetch it again")
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LOOK_S)

    async def events(self, capture_id: str, *, after: int = 0) -> AsyncIterator[CaptureEvent]:
        """One connection's worth of events. It ends in order when the capture has ended or waits for another
        `start_capture`."""
        params = {"after": str(after)}
        async with self._open("GET", _path(capture_id, "events"), params=params, silence_s=_SILENCE_S) as response:
            async for line in response.lines():
                if line:
                    yield _parse(CaptureEvent, _json(line))

    async def follow(self, capture_id: str, *, after: int = 0, patience_s: float = 60.0) -> AsyncIterator[CaptureEvent]:
        """Events without a gap over lost connections and the agent's restarts, until none can follow.

        A connection that cannot be had again for `patience_s` ends it with that connection's error.
        """
        clock = asyncio.get_running_loop().time
        heard_at, wait_s = clock(), 0.2
        while True:
            try:
                async for event in self.events(capture_id, after=after):
                    heard_at, wait_s, after = clock(), 0.2, event.sequence
                    yield event
            except ClusterConnectionFailed:
                if clock() - heard_at > patience_s:
                    raise
            else:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)

    async def archive(self, capture_id: str) -> AsyncIterator[bytes]:
        """The archive as one zstd stream, in chunks. Whole only if the capture's state then has its facts."""
        async with self._open("GET", _path(capture_id, "archive"), silence_s=_SLOW_S) as response:
            async for chunk in response.chunks():
                yield chunk

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[M],
        message: BaseModel | None = None,
        *,
        silence_s: float | None = None,
    ) -> M:
        body = message.model_dump_json().encode() if message is not None else None
        async with self._open(method, path, body=body, silence_s=silence_s) as response:
            raw = await response.read(_ANSWER_LIMIT)
        return _parse(answer, _json(raw))

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[Response]:
        async with self._transport.open(method, path, body=body, params=params, silence_s=silence_s) as response:
            if response.status >= 400:
                raise agent_error(response.status, await response.read(_ERROR_LIMIT))
            yield response


def agent_error(status: int, body: bytes) -> KsnapError:
    """The agent's envelope as the error it was there."""
    try:
        envelope = json.loads(body)
    except ValueError:
        envelope = None
    if not isinstance(envelope, dict):
        return ClusterConnectionFailed("The agent gave an answer that is none of its own", details=f"status {status}")
    kind = by_code(str(envelope.get("code", "")), status)
    return kind(str(envelope.get("error", "The agent failed"))[:500], details=str(envelope.get("details", ""))[:8000])


def _path(capture_id: str, what: str = "") -> str:
    return f"/v1/captures/{quote(capture_id, safe='')}" + (f"/{what}" if what else "")


def _image_path(digest: str, what: str = "") -> str:
    return f"/v1/images/{quote(digest, safe=':')}" + (f"/{what}" if what else "")


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except ValueError as exc:
        raise _not_ours() from exc


def _json_list(raw: bytes) -> list[object]:
    found = _json(raw)
    if not isinstance(found, list):
        raise _not_ours()
    return found


def _parse(message: type[M], value: object) -> M:
    try:
        return message.model_validate(value)
    except ValidationError as exc:
        raise _not_ours() from exc


def _not_ours() -> ClusterConnectionFailed:
    return ClusterConnectionFailed(
        "The agent's answer is not understood", hint="Use the same version for the agent and the server"
    )
