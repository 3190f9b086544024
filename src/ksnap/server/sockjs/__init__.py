"""SockJS as an ASGI application: one coroutine per session, whatever the client's transport.

    async def echo(connection: SockJsConnection) -> None:
        while True:
            await connection.send(await connection.receive())

    app = sockjs_app(echo, SockJsOptions())

What is sent and when is decided in `ksnap.sockjs`; here are the event loop and HTTP. Beside `mount`, which fits it into
our server, nothing knows ksnap: whoever serves SockJS takes the two packages.
"""

from ksnap.server.sockjs.app import SockJsApp, sockjs_app
from ksnap.server.sockjs.connection import Handler, SockJsConnection
from ksnap.server.sockjs.mount import mount_sockjs
from ksnap.server.sockjs.options import SockJsOptions
from ksnap.sockjs.frames import ConnectionClosed

__all__ = [
    "ConnectionClosed",
    "Handler",
    "SockJsApp",
    "SockJsConnection",
    "SockJsOptions",
    "mount_sockjs",
    "sockjs_app",
]
