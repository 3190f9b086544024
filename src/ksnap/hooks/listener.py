"""The TLS port that API servers call: uvicorn within the server's own process and loop, with a context that may change.

Which certificate is shown is chosen at each handshake, by the name that the client asks for (RFC 6066, section 3); one
that calls an address names none, and is shown the newest. So a renewed certificate counts from the next connection on,
and no connection is refused or cut for it.
"""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ksnap.errors import Conflict, Unavailable
from ksnap.hooks.admission import Admission
from ksnap.hooks.certificates import Pair

# For answers that are being written; an API server asks no more once it has lost the connection.
GRACE_S = 3
START_S = 10.0
# Connections that wait to be taken up: a burst of pods opens many.
BACKLOG = 1024
# Longer than Go's clients keep an idle connection (90 s): none is closed under a request that is on its way.
KEEP_S = 120

log = structlog.get_logger(__name__)


class Contexts:
    """What is shown at a handshake."""

    def __init__(self) -> None:
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._default: ssl.SSLContext | None = None
        self.front = _context()
        self.front.sni_callback = self._chosen

    def put(self, contexts: Mapping[str, ssl.SSLContext], default: ssl.SSLContext | None) -> None:
        """Show these from the next handshake on, by name."""
        self._by_name, self._default = dict(contexts), default

    def _chosen(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        chosen = self._by_name.get(name or "", self._default)
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = chosen
        return None


def context_of(leaf: Pair) -> ssl.SSLContext:
    """A server's context with this certificate. Blocking; Python reads both from files alone."""
    context = _context()
    with tempfile.NamedTemporaryFile() as file:  # mode 0600
        file.write(leaf.key_pem.encode() + leaf.certificate_pem.encode())
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Listener:
    """Open while there is a hook to serve."""

    def __init__(self, host: str, port: int, admission: Admission) -> None:
        self.contexts = Contexts()
        self.port = port
        self._host = host
        self._admission = admission
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._task is not None and not self._task.done()

    async def open(self) -> None:
        """Listen, if it does not yet; Conflict if the port is taken."""
        if self.is_open:
            return
        bound = _bound(self._host, self.port)
        try:
            self._server = _Server(_config(self._admission, self.contexts.front))
            self._task = asyncio.create_task(self._server.serve([bound]), name="admission listener")
            await self._started(self._server, self._task)
        except BaseException:
            bound.close()
            raise
        log.info("hook_listener_opened", host=self._host, port=self.port)

    async def close(self) -> None:
        """Take no more connections, and end those there are when they have been answered."""
        server, task, self._server, self._task = self._server, self._task, None, None
        if server is None or task is None:
            return
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        log.info("hook_listener_closed", port=self.port)

    async def _started(self, server: "_Server", task: asyncio.Task[None]) -> None:
        waiting = asyncio.create_task(server.listening.wait())
        try:
            await asyncio.wait({waiting, task}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not server.listening.is_set():
            task.cancel()
            raise Unavailable("The admission listener did not start", details=f"port {self.port}")


class _Server(uvicorn.Server):
    """Within another server: signals are that one's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _config(admission: Admission, context: ssl.SSLContext) -> uvicorn.Config:
    config = uvicorn.Config(
        admission,
        interface="asgi3",
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    config.ssl = context
    return config


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.settimeout(0)
    except OSError as error:
        bound.close()
        raise Conflict(
            "The hooks' port cannot be listened on",
            details=f"{host}:{port}: {error.strerror}",
            hint="Set hook_host and hook_port",
        ) from error
    return bound
