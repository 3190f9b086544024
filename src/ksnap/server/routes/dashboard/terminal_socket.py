"""A WebSocket as a terminal's connection."""

from collections.abc import Mapping

from fastapi import WebSocket, WebSocketDisconnect

from ksnap.sockjs.frames import Closed, ConnectionClosed

# Codes from 4000 on are an application's own (RFC 6455, 7.4.2).
CODES_FROM = 4000
REASON_BYTES = 123
"""What is left of a control frame's 125 bytes (RFC 6455, 5.5)."""

GONE = Closed(1006, "the connection broke")


class TerminalSocket:
    """Made of an accepted WebSocket. uvicorn waits with `send` while the peer leaves 64 KiB unread."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.headers: Mapping[str, str] = socket.headers
        self.query = socket.url.query
        self.address = str(socket.scope["state"]["address"])

    async def receive(self) -> str:
        try:
            message = await self._socket.receive()
        except RuntimeError as error:  # Starlette's word for a socket that has ended before
            raise ConnectionClosed(GONE) from error
        if message["type"] == "websocket.disconnect":
            raise ConnectionClosed(Closed(message.get("code", GONE.code), message.get("reason") or ""))
        text = message.get("text")
        return str(text) if text is not None else bytes(message["bytes"]).decode("utf-8", "replace")

    async def send(self, message: str) -> None:
        try:
            await self._socket.send_text(message)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionClosed(GONE) from error

    async def close(self, code: int, reason: str) -> None:
        try:
            await self._socket.close(CODES_FROM + code, _cut(reason))
        except (WebSocketDisconnect, RuntimeError):
            return


def _cut(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode("utf-8", "ignore")
