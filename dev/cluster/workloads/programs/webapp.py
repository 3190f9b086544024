"""A web app that is slow to start, as many are: what a checkpoint saves is START_S seconds and MEMORY_MB of state.

Environment: PORT (8080), START_S (8), MEMORY_MB (64). `GET /` counts and answers what only this very process can
know, so that a test sees whether it talks to a restored one. `GET /ready` answers 503 until the start is over. Plain
threads and sockets: CRIU refuses processes that hold an io_uring.
"""

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MIB = 1024 * 1024
PORT = int(os.environ.get("PORT", "8080"))
START_S = float(os.environ.get("START_S", "8"))
MEMORY_MB = int(os.environ.get("MEMORY_MB", "64"))


class App:
    """The state that a cold start loses."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.started_at = time.time()
        self.ready = threading.Event()
        self.memory: list[bytes] = []
        self._requests = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Fill the memory piece by piece, spread over the time that a start shall take."""
        began = time.monotonic()
        for piece in range(MEMORY_MB):
            self.memory.append(random_half(MIB))
            pause = began + START_S * (piece + 1) / MEMORY_MB - time.monotonic()
            time.sleep(max(0.0, pause))
        time.sleep(max(0.0, began + START_S - time.monotonic()))
        self.ready.set()
        say("ready", seconds=round(time.monotonic() - began, 1))

    def answer(self) -> dict[str, object]:
        """Count a request and describe this process."""
        with self._lock:
            self._requests += 1
            return {
                "token": self.token,
                "requests": self._requests,
                "started_at": self.started_at,
                "pid": os.getpid(),
                "hostname": socket.gethostname(),
                "memory_mb": len(self.memory),
            }


def random_half(size: int) -> bytes:
    """Half noise, half pattern: what compresses like real memory does."""
    return os.urandom(size // 2) + b"ksnap web app   " * (size // 32)


def say(event: str, **fields: object) -> None:
    """Log one line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


class Handler(BaseHTTPRequestHandler):
    """Two paths; a connection per request, so that none is open while nobody asks."""

    app: App

    def do_GET(self) -> None:
        """Answer `/ready` and everything else."""
        if self.path == "/ready":
            ready = self.app.ready.is_set()
            self._send(200 if ready else 503, {"ready": ready})
        else:
            self._send(200, self.app.answer())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing of probes; they come every second."""
        if self.path != "/ready":
            say("request", line=format % args)

    def _send(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve from the first moment; be ready after START_S."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Handler.app = App()
    threading.Thread(target=Handler.app.start, daemon=True).start()
    server = ThreadingHTTPServer(("", PORT), Handler)
    server.daemon_threads = True
    say("listening", port=PORT)
    server.serve_forever()


if __name__ == "__main__":
    main()
