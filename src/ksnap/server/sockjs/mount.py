"""SockJS in our server: where it is, what it takes from the layers around it, how it ends."""

import asyncio
from dataclasses import replace

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from ksnap.server.protocols import cut
from ksnap.server.sockjs.app import SockJsApp, sockjs_app
from ksnap.server.sockjs.connection import Handler
from ksnap.server.sockjs.options import SockJsOptions


def mount_sockjs(app: Starlette, prefix: str, handler: Handler, options: SockJsOptions) -> SockJsApp:
    """Serve a handler below a prefix, until `end_sockjs`.

    Below `ksnap.server.paths.SOCKJS`, the layers around all requests leave tokens, budgets, CORS and the body's size
    to it: a client that polls makes a request per message, and each of them waits.
    """
    service = sockjs_app(handler, replace(options, address_of=_address, cut=cut))
    app.router.routes.append(_SockJsRoute(prefix, service))
    _services(app).append(service)
    return service


async def end_sockjs(app: Starlette, within_s: float) -> None:
    """End all sessions with a close frame, as the server stops."""
    await asyncio.gather(*(each.end(within_s) for each in _services(app)))


class _SockJsRoute(BaseRoute):
    """All below a prefix, and the prefix itself: Starlette's own mount has nothing for that."""

    def __init__(self, prefix: str, service: SockJsApp) -> None:
        self.path = prefix  # by which the server's metrics call it
        self._service = service

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        root = scope.get("root_path", "")
        if scope["type"] not in {"http", "websocket"} or not f"{scope['path']}/".startswith(f"{root}{self.path}/"):
            return Match.NONE, {}
        return Match.FULL, {"root_path": f"{root}{self.path}", "route": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._service(scope, receive, send)


def _services(app: Starlette) -> list[SockJsApp]:
    if not hasattr(app.state, "sockjs"):
        app.state.sockjs = []
    services: list[SockJsApp] = app.state.sockjs
    return services


def _address(scope: Scope) -> str:
    """As the outermost layer found it out."""
    return str(scope["state"]["address"])
