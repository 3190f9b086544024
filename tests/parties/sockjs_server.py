"""A SockJS server as a party of tests: the services that sockjs-protocol asks for, under uvicorn with our protocols.

with running_sockjs_server(files) as url: ... serves `files` (a folder) at /npm, too. Started as a program, it says its
address on standard output.
"""

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ksnap.server.logs import configure_logs
from ksnap.server.metrics import RequestMetrics
from ksnap.server.middleware.context import RequestContext
from ksnap.server.protocols import HttpProtocol, WebSocketProtocol
from ksnap.server.sockjs import ConnectionClosed, Handler, SockJsConnection, SockJsOptions, mount_sockjs
from ksnap.server.sockjs.mount import end_sockjs

START_LIMIT_S = 30.0
PAGES = Path(__file__).parents[1] / "browser" / "pages"

# As the protocol's suite wants it: everybody may speak, and a streaming answer ends soon.
SUITE = SockJsOptions(origins=("*",), response_limit_bytes=4096)


async def echo(connection: SockJsConnection) -> None:
    """Says what it is told."""
    while True:
        await connection.send(await connection.receive())


async def close(connection: SockJsConnection) -> None:
    """Closes at once."""
    await connection.close(3000, "Go away!")


async def amplify(connection: SockJsConnection) -> None:
    """Sends as many bytes as the power of two that it is told."""
    while True:
        power = int(await connection.receive())
        await connection.send("x" * (1 << power))


async def flood(connection: SockJsConnection) -> None:
    """Sends numbered kilobytes without end, and counts those that it got rid of."""
    FLOODED.append(0)
    place = len(FLOODED) - 1
    while True:
        await connection.send(f"{FLOODED[place]:1024d}")
        FLOODED[place] += 1


async def deaf(connection: SockJsConnection) -> None:
    """Reads nothing until it is over."""
    while True:
        await connection.send("still here")
        await asyncio.sleep(0.05)


async def crash(connection: SockJsConnection) -> None:
    """Has a mistake."""
    await connection.receive()
    raise RuntimeError("a mistake")


async def opening(connection: SockJsConnection) -> None:
    """Says what it knows of who opened it, and then why it ended."""
    agent = connection.headers.get("user-agent", "")
    await connection.send(f"{connection.address} {connection.query} {agent}")
    await connection.send("bye")


async def watched(connection: SockJsConnection) -> None:
    """Keeps its query, what it was told, and how it ended, for /state."""
    heard = [connection.query]
    HEARD.append(heard)
    try:
        while True:
            heard.append(await connection.receive())
    except ConnectionClosed as error:
        heard.append(f"closed {error.closed.code} {error.closed.reason}")


async def closing(connection: SockJsConnection) -> None:
    """Sends three messages and closes, when told to."""
    await connection.receive()
    for each in ("1", "2", "3"):
        await connection.send(each)
    await connection.close(3001, "that was all")


HEARD: list[list[str]] = []
FLOODED: list[int] = []

SERVICES: dict[str, tuple[Handler, SockJsOptions]] = {
    "echo": (echo, SUITE),
    "close": (close, SUITE),
    "disabled_websocket_echo": (echo, replace(SUITE, websocket=False)),
    "cookie_needed_echo": (echo, replace(SUITE, cookie=True)),
    "amplify": (amplify, replace(SUITE, response_limit_bytes=128 * 1024)),
    # Ours.
    "strict": (echo, SockJsOptions()),
    "listed": (echo, SockJsOptions(origins=("http://listed.example",))),
    "lively": (echo, replace(SUITE, heartbeat_s=0.2)),
    # Dropped by the thousand from one address, faster than they end on a quick machine.
    "brief": (watched, replace(SUITE, disconnect_delay_s=0.3, address_limit=1000)),
    "watched": (watched, SUITE),
    "flood": (flood, replace(SUITE, response_limit_bytes=1 << 40, patience_s=0.5)),
    "deaf": (deaf, replace(SUITE, inbox_limit_bytes=100)),
    "crash": (crash, SUITE),
    "opening": (opening, SUITE),
    "closing": (closing, SUITE),
    "few": (watched, replace(SUITE, sessions_limit=2)),
    "few_each": (watched, replace(SUITE, address_limit=2)),
    "elsewhere": (echo, replace(SUITE, client_library_url="https://cdn.example/sockjs.js?a=1&b=2")),
}


def make_app(npm: Path | None) -> Starlette:
    app = Starlette(lifespan=_lifespan)
    app.state.services = {
        name: mount_sockjs(app, f"/{name}", handler, options) for name, (handler, options) in SERVICES.items()
    }
    app.router.routes.append(Route("/state", _state))
    if npm is not None:
        app.router.routes.append(Mount("/npm", StaticFiles(directory=npm)))
        app.router.routes.append(Mount("/pages", StaticFiles(directory=PAGES, html=True)))
    app.add_middleware(RequestContext, trusted_proxies=(), metrics=RequestMetrics())
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await end_sockjs(app, 2.0)


async def _state(request: Request) -> JSONResponse:
    counts = {name: each.open_sessions for name, each in request.app.state.services.items()}
    return JSONResponse({"open": counts, "heard": HEARD, "flooded": FLOODED})


@contextmanager
def running_sockjs_server(npm: Path | None = None) -> Iterator[str]:
    """Its address. It ends with the block, and is an error if it does not end well."""
    command = [sys.executable, "-m", __name__, *([str(npm)] if npm else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: said.put(process.stdout.readline() if process.stdout else ""), daemon=True)
    reader.start()
    try:
        yield said.get(timeout=START_LIMIT_S).strip()
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        reader.join(timeout=10)
        process.stdout.close()


class _Server(uvicorn.Server):
    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}", flush=True)


def main() -> None:
    configure_logs("warning", "json")
    npm = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    config = uvicorn.Config(
        make_app(npm),
        host="127.0.0.1",
        port=0,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=1 << 20,
        ws_per_message_deflate=False,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
