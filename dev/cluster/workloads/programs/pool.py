"""A web server in Python with what one has at work: threads, a pool of processes behind semaphores in shared memory,
a child program behind pipes. `GET /` answers its token, which request this is, and whether all of that still works.
"""

import json
import multiprocessing
import secrets
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROCESSES = 2
THREADS = 4


def triple(number: int) -> int:
    """What the pool's processes are asked."""
    return 3 * number


class App:
    """The state that a cold start loses."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.count = 0
        # Before there are threads: forked processes have none of them.
        self.pool = multiprocessing.get_context("fork").Pool(PROCESSES)
        self.workers = [process.pid for process in multiprocessing.active_children()]
        self.shared = multiprocessing.Value("l", 7)
        self.child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.threads = ThreadPoolExecutor(THREADS)
        self.beats = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self) -> None:
        """Go on for ever, in a thread of its own."""
        while True:
            self.beats += 1
            time.sleep(0.01)

    def answer(self) -> dict[str, object]:
        """Count a request, and try everything."""
        with self.lock:
            self.count += 1
            checks = {
                "pool": self.pool.map_async(triple, range(10)).get(timeout=10) == [3 * each for each in range(10)],
                "workers": [process.pid for process in multiprocessing.active_children()] == self.workers,
                "shared": self.shared.value == 7,
                "threads": list(self.threads.map(triple, range(10))) == [3 * each for each in range(10)],
                "beat": self._beats(),
                "child": self._child_answers(),
            }
            return {"token": self.token, "count": self.count, "holds": all(checks.values()), "checks": checks}

    def _beats(self) -> bool:
        before, tries = self.beats, 0
        while self.beats == before and tries < 500:
            time.sleep(0.01)
            tries += 1
        return self.beats > before

    def _child_answers(self) -> bool:
        if self.child.stdin is None or self.child.stdout is None:
            return False
        self.child.stdin.write(b"asked")
        return self.child.stdout.read(5) == b"asked"


class Handler(BaseHTTPRequestHandler):
    """One answer for every path."""

    app: App

    def do_GET(self) -> None:
        """Answer."""
        content = json.dumps(self.app.answer()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve until told to end."""
    Handler.app = App()
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()


if __name__ == "__main__":
    main()
