"""A session that is a WebSocket: with the protocol's frames, or raw. It lives as long as its connection."""

import asyncio

from starlette.types import Receive, Scope, Send

from ksnap.server.sockjs.connection import LiveSession
from ksnap.sockjs.frames import BrokenEncoding, Closed, Messages, PayloadExpected, messages_of
from ksnap.sockjs.wire import raw_text, websocket_close

BROKEN = (1007, "Broken JSON encoding.")
NO_TEXT = (1003, "Messages are text")


class WebSocketReceiver:
    """One connection, which receives and sends."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, raw: bool) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._raw = raw

    async def refuse(self, status: int) -> None:
        """Instead of the handshake."""
        await self._receive()
        if "websocket.http.response" not in self._scope.get("extensions", {}):
            await self._send({"type": "websocket.close"})
            return
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await self._send({"type": "websocket.http.response.body", "body": b""})

    async def serve(self, session: LiveSession) -> None:
        """Until either side has ended it."""
        try:
            await self._receive()
            await self._send({"type": "websocket.accept"})
            session.attach()
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(session))
                reading = group.create_task(self._read(session))
                await asyncio.wait((writing, reading), return_when=asyncio.FIRST_COMPLETED)
                writing.cancel()
                reading.cancel()
        finally:
            session.detach()
            session.lose()  # of no consequence if it is over already
            session.drop()

    async def _write(self, session: LiveSession) -> None:
        try:
            while True:
                frame = await session.frame()
                if not self._raw:
                    await self._say(frame.text())
                elif isinstance(frame, Messages):
                    for message in frame.messages:
                        await self._say(raw_text(message))
                if isinstance(frame, Closed):
                    code, reason = websocket_close(frame) if self._raw else (1000, "")
                    await self._close(code, reason)
                    return
        except OSError:
            return  # the client has gone (ASGI 2.4)

    async def _read(self, session: LiveSession) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                await self._close(*NO_TEXT)
                return
            try:
                messages = [text] if self._raw else messages_of(text, may_be_one=True)
            except PayloadExpected:
                continue
            except BrokenEncoding:
                await self._close(*BROKEN)
                return
            await session.accept(messages)

    async def _say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
