"""The agent's HTTP interface, exactly that of `node/protocol.py`: parse, ask, answer. It decides nothing."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import BaseModel, ValidationError

from ksnap.agent import metrics, transfer
from ksnap.agent.authority import Authority
from ksnap.agent.capture import Capture
from ksnap.agent.captures import Captures
from ksnap.agent.envelope import Handler, enveloped, invalid_json, invalid_message
from ksnap.agent.evidence import container_evidence
from ksnap.agent.report import Reporter
from ksnap.agent.restores import Restores
from ksnap.agent.settings import AgentSettings
from ksnap.errors import InvalidInput
from ksnap.model.digest import Digest, parse_digest
from ksnap.node.protocol import (
    AUTHORIZATION_HEADER,
    CAPTURE_ID,
    HEARTBEAT_S,
    CaptureRequest,
    Confirmation,
    ImageRequest,
    UndoRequest,
)

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_ID = re.compile(CAPTURE_ID)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Service:
    """The handlers and what they ask."""

    settings: AgentSettings
    authority: Authority
    captures: Captures
    reporter: Reporter
    restores: Restores

    def app(self) -> web.Application:
        """The application; `captures` and `reporter` must have been entered."""
        app = web.Application(middlewares=[enveloped, self._admitted()], client_max_size=self.settings.max_body_bytes)
        app.add_routes(self.routes())
        return app

    def routes(self) -> list[web.RouteDef]:
        """All paths, without the question who may use them."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/v1/node", self.node),
            web.get("/v1/captures", self.list_captures),
            web.put("/v1/captures/{id}", self.put_capture),
            web.get("/v1/captures/{id}", self.get_capture),
            web.delete("/v1/captures/{id}", self.delete_capture),
            web.get("/v1/captures/{id}/events", self.events, allow_head=False),
            web.get("/v1/captures/{id}/archive", self.archive, allow_head=False),
            web.post("/v1/captures/{id}/confirm", self.confirm),
            web.get("/v1/containers/{id}", self.container),
            web.get("/v1/images", self.list_images),
            web.put("/v1/images/{digest}", self.put_image),
            web.get("/v1/images/{digest}", self.get_image),
            web.delete("/v1/images/{digest}", self.delete_image),
            web.delete("/v1/images/{digest}/failures", self.delete_failures),
        ]

    def _admitted(self) -> Middleware:
        """Everything but the open paths, unknown paths included, is for admitted callers."""

        @web.middleware
        async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in _OPEN_PATHS:
                await self.authority.admit(request.headers.get(AUTHORIZATION_HEADER), request.method)
            return await handler(request)

        return admitted

    async def healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """A server asks ready agents only: one that does not know its node yet would be believed."""
        settled = self.reporter.settled
        return web.json_response({"status": "ok" if settled else "starting"}, status=200 if settled else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def node(self, _: web.Request) -> web.Response:
        return _message(await self.reporter.report())

    async def list_captures(self, _: web.Request) -> web.Response:
        states = [state.model_dump(mode="json") for state in self.captures.states()]
        return web.json_response(states)

    async def put_capture(self, request: web.Request) -> web.Response:
        body = await _body(request, CaptureRequest)
        return _message(await self.captures.put(_capture_id(request), body))

    async def get_capture(self, request: web.Request) -> web.Response:
        return _message(self._capture(request).state())

    async def delete_capture(self, request: web.Request) -> web.Response:
        body = await _body(request, UndoRequest) if request.can_read_body else UndoRequest()
        return _message(await self.captures.delete(_capture_id(request), body.registry))

    async def confirm(self, request: web.Request) -> web.Response:
        body = await _body(request, Confirmation)
        capture = self.captures.confirm(_capture_id(request), body)
        while not capture.is_over:
            await capture.changed(HEARTBEAT_S)
        return _message(capture.state())

    async def events(self, request: web.Request) -> web.StreamResponse:
        capture = self._capture(request)
        after = request.query.get("after", "0")
        if not after.isdecimal():
            raise InvalidInput("Not a sequence number", details=f"after={after[:40]!r}")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        await _stream_events(response, capture, int(after))
        return response

    async def archive(self, request: web.Request) -> web.StreamResponse:
        capture = self._capture(request)
        response = web.StreamResponse(headers={"Content-Type": "application/zstd", "Cache-Control": "no-store"})

        async def write(piece: bytes) -> None:
            # The status line goes out with the first bytes, so that a refusal before them still has its own status.
            if not response.prepared:
                await response.prepare(request)
            await response.write(piece)

        try:
            await transfer.send(capture, write)
        except ConnectionResetError:
            # The server went away; it fetches anew.
            return response
        except BaseException:
            # Too late for an envelope: without the last chunk the server sees that the archive is not whole.
            if response.prepared and request.transport is not None:
                request.transport.abort()
            raise
        await response.write_eof()
        return response

    async def container(self, request: web.Request) -> web.Response:
        evidence = await asyncio.to_thread(
            container_evidence,
            self.settings.containers_dir,
            request.match_info["id"],
            runtime_records_dir=self.settings.runtime_records_dir,
        )
        return _message(evidence)

    async def list_images(self, _: web.Request) -> web.Response:
        return web.json_response([state.model_dump(mode="json") for state in self.restores.states()])

    async def put_image(self, request: web.Request) -> web.Response:
        body = await _body(request, ImageRequest)
        return _message(await self.restores.prefetch(_digest(request), body))

    async def get_image(self, request: web.Request) -> web.Response:
        return _message(self.restores.state(_digest(request)))

    async def delete_image(self, request: web.Request) -> web.Response:
        return _message(await self.restores.drop(_digest(request)))

    async def delete_failures(self, request: web.Request) -> web.Response:
        return _message(await self.restores.clear_failures(_digest(request)))

    def _capture(self, request: web.Request) -> Capture:
        return self.captures.get(_capture_id(request))


async def _stream_events(response: web.StreamResponse, capture: Capture, sequence: int) -> None:
    """Events until nothing more can come: the capture has ended, or waits for a PUT. An empty line is the heartbeat."""
    try:
        while True:
            over = capture.is_over
            events = capture.events_after(sequence)
            for event in events:
                await response.write(event.model_dump_json(exclude_none=True).encode() + b"\n")
                sequence = event.sequence
            if over:
                return
            if not events and not await capture.changed(HEARTBEAT_S / 2):
                await response.write(b"\n")
    except ConnectionResetError:
        return


def _capture_id(request: web.Request) -> str:
    capture_id = request.match_info["id"]
    if not _ID.match(capture_id):
        raise InvalidInput("Not a capture id", details=f"{capture_id[:80]!r} does not match {CAPTURE_ID}")
    return capture_id


def _digest(request: web.Request) -> Digest:
    return parse_digest(request.match_info["digest"])


async def _body(request: web.Request, message: type[M]) -> M:
    """The body as a message; what is refused is told by field, never by value."""
    raw = await request.read()
    try:
        return message.model_validate(json.loads(raw))
    except json.JSONDecodeError as exc:
        raise invalid_json(exc) from None
    except UnicodeDecodeError:
        raise InvalidInput("Not JSON", details="not UTF-8") from None
    except ValidationError as exc:
        raise invalid_message(exc) from None


def _message(message: BaseModel) -> web.Response:
    return web.Response(text=message.model_dump_json(), content_type="application/json")
