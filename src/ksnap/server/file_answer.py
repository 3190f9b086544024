"""A file as an answer: under a safe name, of any length, and never one that is cut short but looks whole.

If the source fails in the middle the connection is cut, for an answer that has begun can say nothing else; if the
client goes, the source is ended at once, also one that is silent.
"""

from collections.abc import AsyncIterator
from typing import Never

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ksnap.dashboard.attachment import content_disposition
from ksnap.dashboard.export import Export
from ksnap.errors import KsnapError
from ksnap.server.following import cut_off, first_end, peer_gone, sent_in_time

# A download may be paused for a while; what it reads from is held meanwhile.
PATIENCE_S = 300.0

_log = structlog.get_logger(__name__)


def headers_of(name: str) -> dict[str, str]:
    """What a download has beside its type; `nosniff` is on every answer."""
    return {"Content-Disposition": content_disposition(name), "Cache-Control": "no-store"}


def export_answer(export: Export) -> Response:
    """An export to be kept."""
    return Response(export.body, headers=headers_of(export.name), media_type=export.media_type)


class _Sent(Exception):
    """All of it."""


class StreamedFile(Response):
    """A file whose length is not known before its end. `pieces` is closed by whoever opened it."""

    def __init__(self, pieces: AsyncIterator[bytes], *, name: str, media_type: str) -> None:
        super().__init__(headers=headers_of(name), media_type=media_type)
        del self.headers["Content-Length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ended = await first_end(self._send(send), peer_gone(receive))
        if isinstance(ended, _Sent | ClientDisconnect):
            return
        if isinstance(ended, KsnapError):
            _log.warning("download_cut", path=scope["path"][:300], error=ended.message, details=ended.details)
        else:
            _log.error("download_crashed", path=scope["path"][:300], exc_info=ended)
        await cut_off(scope, receive)

    async def _send(self, send: Send) -> Never:
        async for piece in self._pieces:
            sending = send({"type": "http.response.body", "body": piece, "more_body": True})
            await sent_in_time(sending, PATIENCE_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        raise _Sent
