"""Asks for one page again and again over some connections; as little work as can be, for it shares the machine.

    python -m bench.pages_client URL PATH CLIENTS SECONDS < token

Prints JSON: seconds of each page, bytes of the last one.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(slots=True)
class Pages:
    """What was measured."""

    seconds: list[float] = field(default_factory=list)
    body: bytes = b""


async def one_client(host: str, port: int, request: bytes, until: float, pages: Pages) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    try:
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(_HEAD_END)
            at = head.lower().index(_LENGTH) + len(_LENGTH)
            pages.body = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            pages.seconds.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{head!r} {pages.body[:500]!r}")
    finally:
        writer.close()
        await writer.wait_closed()


async def measure(url: str, path: str, clients: int, seconds: float, token: str) -> Pages:
    parts, pages = urlsplit(url), Pages()
    head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n\r\n"
    until = time.perf_counter() + seconds
    host, port = parts.hostname or "", parts.port or 80
    await asyncio.gather(*(one_client(host, port, head.encode(), until, pages) for _ in range(clients)))
    return pages


def main() -> None:
    url, path, clients, seconds = sys.argv[1:5]
    pages = asyncio.run(measure(url, path, int(clients), float(seconds), sys.stdin.readline().strip()))
    print(json.dumps({"seconds": pages.seconds, "bytes": len(pages.body), "list": json.loads(pages.body)["listMeta"]}))


if __name__ == "__main__":
    main()
