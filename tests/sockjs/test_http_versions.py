"""sockjs-protocol 0.3.3: Http10, Http11, over plain sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.sockjs.client import LIMIT_S, fresh

GREETING = b"Welcome to SockJS!\n"


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def request(self, line: str) -> tuple[int, dict[str, str]]:
        """The status and the headers of the answer."""
        self._writer.write(f"{line}\r\nHost: x\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = (each.partition(": ") for each in head[1:] if each)
        return int(head[0].split()[1]), {name.lower(): value for name, _, value in headers}

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:size]


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        yield Raw(reader, writer)
        writer.close()
        await writer.wait_closed()


class TestHttp10:
    async def test_synchronous(self, sockjs_url: str) -> None:
        async with raw(sockjs_url) as connection:
            status, headers = await connection.request("GET /echo HTTP/1.0")
            assert status == 200
            assert "transfer-encoding" not in headers
            assert headers["content-length"] == "19"
            assert headers["connection"] == "close"
            assert await connection.reader.read() == GREETING

    async def test_streaming(self, sockjs_url: str) -> None:
        async with raw(sockjs_url) as connection:
            status, headers = await connection.request(f"POST /close{fresh()}/xhr_streaming HTTP/1.0")
            assert status == 200
            assert "transfer-encoding" not in headers
            assert "content-length" not in headers
            assert await connection.reader.read() == b"h" * 2048 + b'\no\nc[3000,"Go away!"]\n'


class TestHttp11:
    async def test_synchronous(self, sockjs_url: str) -> None:
        async with raw(sockjs_url) as connection:
            for _ in range(2):  # on one connection
                status, headers = await connection.request("GET /echo HTTP/1.1")
                assert (status, headers["content-length"]) == (200, "19")
                assert "transfer-encoding" not in headers
                assert await connection.reader.readexactly(19) == GREETING

    async def test_streaming(self, sockjs_url: str) -> None:
        async with raw(sockjs_url) as connection:
            status, headers = await connection.request(f"POST /close{fresh()}/xhr_streaming HTTP/1.1")
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert "content-length" not in headers
            assert await connection.chunk() == b"h" * 2048 + b"\n"
            assert [await connection.chunk() for _ in range(3)] == [b"o\n", b'c[3000,"Go away!"]\n', b""]
