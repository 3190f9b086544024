"""Which pages of other origins may read answers; SockJS, whose cookies and caching differ, says it of its own."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from ksnap.server.paths import is_sockjs


class Cors(CORSMiddleware):
    """Starlette's, for all paths but SockJS's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_sockjs(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
