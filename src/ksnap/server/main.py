"""`ksnap serve`: runs the server under uvicorn until it is told to stop (SIGTERM, SIGINT)."""

import asyncio
import signal
import socket
import sys

import structlog
import uvicorn
from fastapi import FastAPI

from ksnap import __version__
from ksnap.server.app import create_app
from ksnap.server.logs import configure_logs
from ksnap.server.memory import bound_arenas, forget_what_stays
from ksnap.server.protocols import HttpProtocol, WebSocketProtocol
from ksnap.server.services import Services
from ksnap.server.sockjs.mount import end_sockjs
from ksnap.settings import ServerSettings

# A peer that is gone without a word is noticed; a busy one has time to answer.
PING_EVERY_S = 30.0
PONG_WITHIN_S = 60.0
# For the close frames of those who follow progress, and of SockJS; whoever is slower is cut off.
FAREWELL_S = 2.0

_log = structlog.get_logger(__name__)


def run(settings: ServerSettings) -> None:
    """Serve until stopped. Requests in flight get `shutdown_grace_s`; then the services are closed.

    The exit code is 0 after a stop, another if the server could not start; the log has said why.
    """
    bound_arenas()
    configure_logs(settings.log_level, settings.log_format)
    serve(create_app(settings), settings)


def serve(app: FastAPI, settings: ServerSettings) -> None:
    """Serve an application that `create_app` has made; logs are configured."""
    server = _Server(_config(settings, app), app)
    # uvicorn handles both itself while it runs, and raises them once more when it has ended: that was a clean stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    server.run()
    if not server.started:
        sys.exit(1)
    _log.info("server_stopped")


def _config(settings: ServerSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
        log_config=None,
        access_log=False,  # ours knows request id and user, and leaves the query out
        proxy_headers=False,  # ours trusts configured proxies alone
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=settings.body_limit_bytes,
        ws_per_message_deflate=False,  # its frames are short, and go to many: compressing each costs more than it saves
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PONG_WITHIN_S,
        lifespan="on",
    )


class _Server(uvicorn.Server):
    """Says where it listens once it does: a port of 0 is known then only. Sends away who would stay."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        forget_what_stays()
        scheme = "https" if self.config.is_ssl else "http"
        for each in (each for server in self.servers for each in server.sockets):
            host, port = each.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _log.info("server_started", url=f"{scheme}://{shown}:{port}", version=__version__)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        services: Services = self._app.state.services
        # They would keep it open for the whole grace.
        # They would keep it open for the whole grace. A terminal's own word on its end comes before SockJS's.
        await asyncio.gather(services.progress.end(FAREWELL_S), services.terminals.sessions.end())
        await end_sockjs(self._app, FAREWELL_S)
        await super().shutdown(sockets)
