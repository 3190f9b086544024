"""Bodies over the limit are refused (413) at their declared length, or as soon as more has come than is allowed.

On the dashboard's paths, where whole objects come back changed, it is at least the API server's own.
"""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksnap.errors import InvalidInput, TooLarge
from ksnap.server.failures import answer
from ksnap.server.paths import is_dashboard, is_sockjs

OBJECT_BYTES = 3 << 20
"""What the API server takes for one object (apiserver, MaxRequestBodyBytes)."""


class BodyLimit:
    """Bounds what a request may send."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_sockjs(scope["path"]):  # which has a limit of its own
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit():
            await self._refuse(InvalidInput("Content-Length is not a number"), scope, receive, send)
            return
        limit = max(self._limit, OBJECT_BYTES) if is_dashboard(scope["path"]) else self._limit
        if int(declared) > limit:
            await self._refuse(_too_large(limit), scope, receive, send)
            return
        received = 0

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    # FastAPI lets nothing but its own exception out of its parsing of a body.
                    raise HTTPException(TooLarge.status)
            return message

        await self._app(scope, receiving, send)

    async def _refuse(self, error: TooLarge | InvalidInput, scope: Scope, receive: Receive, send: Send) -> None:
        """The rest of the body is not read: the connection ends with the answer."""
        await answer(scope, error, {"Connection": "close"})(scope, receive, send)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("The body is too large", details=f"at most {limit} bytes are accepted")
