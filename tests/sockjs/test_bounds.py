"""What the protocol leaves open: slow sides, broken applications, too many sessions, and what is left of them."""

import asyncio
import socket
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.sockjs.client import Server, eventually, fresh, said

# What the kernel may keep of an answer, at both ends of it: its buffers grow to some megabytes.
KERNEL_BYTES = 16 << 20
QUEUE_BYTES = 256 << 10
ROUNDS = 1000
AT_A_TIME = 20


async def _slow_reader(url: str, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which nothing is read unless asked for."""
    link = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader, writer = await asyncio.open_connection(sock=link, limit=4096)
    writer.write(f"{request}\r\nHost: {urlsplit(url).netloc}\r\nContent-Length: 0\r\n\r\n".encode())
    return reader, writer


async def _flooded(server: Server) -> int:
    """How many kilobytes the latest application of `flood` got rid of, once that is no longer more and more."""
    seen = -1

    async def has_stopped() -> bool:
        nonlocal seen
        before, seen = seen, (await server.state())["flooded"][-1]
        return bool(seen == before > 0)

    await eventually(has_stopped)
    return seen


class TestSlowClients:
    async def test_an_application_waits_for_its_client_and_nothing_is_lost(self, server: Server) -> None:
        path = await server.flood.opened()
        sent = await _flooded(server)
        assert sent * 1024 <= QUEUE_BYTES + 2 * 1024
        frame = (await server.flood.post(f"{path}/xhr")).text
        assert [int(each.strip('"')) for each in frame.removeprefix("a[").strip("]\n").split(",")] == list(
            range(frame.count(",") + 1)
        )
        assert frame.count(",") + 1 >= sent

    async def test_a_receiver_that_reads_nothing_is_given_up(self, server: Server, sockjs_url: str) -> None:
        path = fresh()
        reader, writer = await _slow_reader(sockjs_url, f"POST /flood{path}/xhr_streaming HTTP/1.1")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

        async def is_interrupted() -> bool:
            return (await server.flood.post(f"{path}/xhr")).text == 'c[1002,"Connection interrupted"]\n'

        await eventually(is_interrupted)
        assert (await server.state())["flooded"][-1] * 1024 < KERNEL_BYTES
        writer.close()

    async def test_a_websocket_that_reads_nothing_holds_its_application(self, server: Server) -> None:
        async with server.flood.socket(fresh(), max_msg_size=0) as connection:
            assert await said(connection) == "o"
            transport = connection.get_extra_info("socket")
            assert transport is not None
            connection._response.connection.transport.pause_reading()  # type: ignore[union-attr] # as a busy page does
            assert await _flooded(server) * 1024 < KERNEL_BYTES
            connection._response.connection.transport.resume_reading()  # type: ignore[union-attr]
            first = await said(connection)
            assert first.startswith('a["')
            assert int(first.removeprefix('a["').partition('"')[0]) == 0


class TestSlowApplications:
    async def test_their_clients_wait_and_others_do_not(self, server: Server) -> None:
        path = fresh()
        message = f'["{"x" * 200}"]'
        async with server.deaf.streaming(path) as stream:
            await stream.expect('o\na["still here"]\n')
            assert (await server.deaf.post(f"{path}/xhr_send", message)).status == 204
            posts = {asyncio.create_task(server.deaf.post(f"{path}/xhr_send", message)) for _ in range(2)}
            (busy,), (waiting,) = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
            assert busy.result().status == 503
            # What it has to say goes on, as do others.
            await stream.expect('a["still here"]\n')
            assert await server.echo.opened()
            assert not waiting.done()
            stream.abort()
        assert (await waiting).status == 204


class TestApplications:
    async def test_a_mistake_closes_the_session(self, server: Server) -> None:
        path = await server.crash.opened()
        await server.crash.post(f"{path}/xhr_send", '["a"]')
        assert (await server.crash.post(f"{path}/xhr")).text == 'c[1011,"Internal error"]\n'

    async def test_the_end_of_the_handler_ends_the_session(self, server: Server) -> None:
        """And it knows who opened it."""
        path = fresh()
        assert (await server.opening.post(f"{path}/xhr?a=%20", headers={"User-Agent": "tester"})).text == "o\n"
        assert (await server.opening.post(f"{path}/xhr?b=2")).text == 'a["127.0.0.1 a=%20 tester","bye"]\n'
        assert (await server.opening.post(f"{path}/xhr")).text == 'c[1000,"Normal closure"]\n'

    async def test_bodies_have_a_limit(self, server: Server) -> None:
        path = await server.echo.opened()
        assert (await server.echo.post(f"{path}/xhr_send", f'["{"x" * (1 << 20)}"]')).status == 413
        exact = "x" * ((1 << 20) - 4)
        assert (await server.echo.post(f"{path}/xhr_send", f'["{exact}"]')).status == 204
        assert (await server.echo.post(f"{path}/xhr")).text == f'a["{exact}"]\n'


class TestManySessions:
    async def test_there_are_only_so_many(self, server: Server) -> None:
        async with server.few.streaming(fresh()) as first, server.few.socket(fresh()) as second:
            await first.expect("o\n")
            assert await said(second) == "o"
            assert (await server.few.post(f"{fresh()}/xhr")).status == 503
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with server.few.socket(fresh()):
                    pass
            assert refused.value.status == 503
            await second.close()

            async def is_there_room() -> bool:
                return (await server.few.post(f"{fresh()}/xhr")).status == 200

            await eventually(is_there_room)

    async def test_nothing_is_left_of_a_thousand_that_were_dropped(self, server: Server) -> None:
        rounds = iter(range(ROUNDS))

        async def work() -> None:
            for number in rounds:
                await _open_and_drop(server, number)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(work())

        async def is_empty() -> bool:
            return await server.open_sessions("brief") == 0

        await eventually(is_empty)


async def _open_and_drop(server: Server, number: int) -> None:
    path = fresh()
    match number % 4:
        case 0:
            async with server.brief.streaming(path) as stream:
                await stream.expect("o\n")
                stream.abort()
        case 1:
            async with server.brief.stream("GET", f"{path}/eventsource") as stream:
                await stream.expect("\r\ndata: o\r\n\r\n")
                stream.abort()
        case 2:
            assert (await server.brief.post(f"{path}/xhr")).text == "o\n"
            assert (await server.brief.post(f"{path}/xhr_send", '["a"]')).status in {204, 404}  # 404 if it is slow
        case _:
            async with server.brief.socket(path) as connection:
                assert await said(connection) == "o"
                transport = connection._response.connection
                assert transport is not None
                transport.close()  # without a word
