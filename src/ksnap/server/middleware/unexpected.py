"""The innermost layer: an error that nobody expected is logged with its trace and answered with its request id."""

from contextlib import suppress

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.errors import KsnapError
from ksnap.server.failures import answer, unexpected
from ksnap.server.middleware.context import ANSWERS
from ksnap.server.paths import shown

_log = structlog.get_logger(__name__)


class Unexpected:
    """The root of every request's work, hence the one broad `except`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] in ANSWERS
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            # Once the answer has begun it cannot be changed: raised on, the server cuts the connection, which tells it.
            if not isinstance(error, KsnapError):
                _log.exception("request_crashed", path=shown(scope["path"]), method=scope.get("method"))
            if started and scope["type"] == "websocket":
                with suppress(Exception):  # it may be closed already
                    await send({"type": "websocket.close", "code": 1011})
                return
            if started:
                raise
            ours = error if isinstance(error, KsnapError) else unexpected(scope["state"]["request_id"])
            await answer(scope, ours)(scope, receive, send)
