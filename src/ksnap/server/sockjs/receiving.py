"""The receiver of a session over HTTP: an answer that is a frame, or one that goes on."""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive

from ksnap.server.sockjs.connection import LiveSession
from ksnap.server.sockjs.options import SockJsOptions
from ksnap.server.sockjs.request import Request
from ksnap.sockjs.answers import Headers
from ksnap.sockjs.frames import Closed, Frame
from ksnap.sockjs.wire import Wire


class Receiver:
    """One request that receives."""

    def __init__(self, request: Request, wire: Wire, headers: Headers, options: SockJsOptions) -> None:
        self._request = request
        self._wire = wire
        self._headers = [("Content-Type", wire.content_type), *headers]
        self._options = options
        self._detached = False

    async def serve(self, session: LiveSession) -> None:
        """Until the answer has come to its end, or the client has gone."""
        refused = session.attach()
        if refused is not None:
            await self._all_at_once(refused)
            return
        whole = False
        try:
            whole = await self._served(session)
        finally:
            if not whole:
                self._detach(session)
                session.lose()

    async def _served(self, session: LiveSession) -> bool:
        """Whether all of the answer was given to a client that was there."""
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._frames(session) if self._wire.streams else self._frame(session))
            leaving = group.create_task(_gone(self._request.receive))
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            whole = answering.done()
            answering.cancel()
            leaving.cancel()
        return whole and answering.result()

    async def _frame(self, session: LiveSession) -> bool:
        frame = await session.frame()
        self._detach(session)
        return await self._in_time(self._all_at_once(frame))

    async def _frames(self, session: LiveSession) -> bool:
        # A proxy may keep the answer until it ends; nginx does not if it is told so.
        start = self._request.start(200, [*self._headers, ("X-Accel-Buffering", "no")])
        if not await self._in_time(start) or not await self._in_time(self._part(self._wire.prelude)):
            return False
        sent, last = 0, False
        while not last:
            frame = await session.frame()
            part = self._wire.encode(frame)
            sent += len(part)
            last = isinstance(frame, Closed) or sent >= self._options.response_limit_bytes
            if last:
                self._detach(session)
            if not await self._in_time(self._part(part, last=last)):
                return False
        return True

    def _detach(self, session: LiveSession) -> None:
        """Once, before the last bytes: the client may come back before we know that it has them."""
        if not self._detached:
            self._detached = True
            session.detach()

    async def _all_at_once(self, frame: Frame) -> None:
        body = self._wire.prelude + self._wire.encode(frame)
        await self._request.start(200, [*self._headers, ("Content-Length", str(len(body)))])
        await self._part(body, last=True)

    async def _part(self, body: bytes, *, last: bool = False) -> None:
        await self._request.send({"type": "http.response.body", "body": body, "more_body": not last})

    async def _in_time(self, sending: Awaitable[None]) -> bool:
        """Whether the client took it; else its connection is cut."""
        try:
            async with asyncio.timeout(self._options.patience_s):
                await sending
        except TimeoutError:
            self._options.cut(self._request.scope)
            return False
        except OSError:
            return False  # it has gone (ASGI 2.4)
        return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
