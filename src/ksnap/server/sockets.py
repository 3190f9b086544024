"""What every WebSocket that follows something does alike: it answers pings, and says why it is closed.

Its close code is 1000 for what has ended, 1001 if the server ends, 1009 for a frame that is too long, 1013 for one who
is too slow, else 4000 and the error's HTTP status, after a frame with the error.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any, Never

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from ksnap.checkpoints.feed import FeedEnded
from ksnap.errors import KsnapError, TooLarge
from ksnap.server.following import TooSlow
from ksnap.server.middleware.admission import TOKEN_LIMIT

SUBPROTOCOL = "snap.v1"
# The longest that a client may say is an auth frame, which holds a token.
FRAME_LIMIT = TOKEN_LIMIT + 1024
# Of an error's own frame; then the connection is closed without it.
LAST_FRAME_S = 1.0
# RFC 6455, 5.5: a control frame has 125 bytes, two of which are the code.
REASON_BYTES = 123

_log = structlog.get_logger(__name__)


async def accept(socket: WebSocket) -> None:
    """In our protocol where it is offered: a browser that offers some, to bring its token, insists on one."""
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)


async def said(socket: WebSocket) -> dict[str, Any]:
    """The next frame; empty if it is nothing that a client may say. WebSocketDisconnect once it has gone."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    frame = message.get("text") or message.get("bytes") or ""
    if len(frame) > FRAME_LIMIT:
        raise TooLarge("The frame is too long", details=f"at most {FRAME_LIMIT} characters are accepted")
    try:
        parsed = json.loads(frame)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


async def answer_pings(socket: WebSocket) -> Never:
    """Until the peer goes."""
    while True:
        if (await said(socket)).get("type") == "ping":
            await socket.send_json({"type": "pong"})


async def close_for(socket: WebSocket, error: KsnapError, frame: object) -> None:
    """Close with the error's code, `frame` before it where there is time."""
    code = close_code(error)
    if isinstance(error, TooSlow):
        _log.info("slow_reader_dropped", path=socket.url.path[:300], address=socket.scope["state"]["address"])
    if code > 4000:
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(LAST_FRAME_S):
                await socket.send_json(frame)
    with suppress(WebSocketDisconnect):
        await socket.close(code, reason_of(error.message))


def reason_of(message: str) -> str:
    """As much of a message as a close frame holds."""
    return message.encode()[:REASON_BYTES].decode("utf-8", "ignore")


def close_code(error: KsnapError) -> int:
    match error:
        case FeedEnded():
            return 1001
        case TooLarge():
            return 1009
        case TooSlow():
            return 1013
        case _:
            return 4000 + error.status
