"""sockjs-protocol 0.3.3: SessionURLs, Protocol, HandlingClose."""

import asyncio
import random

import pytest

from tests.sockjs.client import Server, Service, eventually, fresh

ANOTHER = 'c[2010,"Another connection still open"]\n'
INTERRUPTED = 'c[1002,"Connection interrupted"]\n'
GO_AWAY = 'c[3000,"Go away!"]\n'


class TestSessionURLs:
    @pytest.mark.parametrize("path", ["/a/a", "/_/_", "/1/", "/abcdefgh_i-j%20/abcdefg_i-j%20"])
    async def test_any_value(self, echo: Service, path: str) -> None:
        answer = await echo.post(f"{path}{random.randint(0, 1 << 32)}/xhr")
        assert (answer.status, answer.text) == (200, "o\n")

    @pytest.mark.parametrize("path", ["//", "/a./a", "/a/a.", "/./.", "/", "///", "/a", "/a/a/a", "/a%2Fa/a"])
    async def test_invalid_paths(self, echo: Service, path: str) -> None:
        assert (await echo.get(f"{path}/xhr")).status == 404
        assert (await echo.post(f"{path}/xhr")).status == 404

    async def test_ignoring_server_id(self, echo: Service) -> None:
        path = await echo.opened()
        assert (await echo.post(f"{path}/xhr_send", '["a"]')).status == 204
        assert (await echo.post(f"{path.replace('/000/', '/999/')}/xhr")).text == 'a["a"]\n'


class TestProtocol:
    async def test_simple_session(self, echo: Service) -> None:
        path = await echo.opened()
        sent = await echo.post(f"{path}/xhr_send", '["a"]')
        assert (sent.status, sent.text) == (204, "")
        assert (await echo.post(f"{path}/xhr")).text == 'a["a"]\n'
        assert (await echo.post("/000/bad_session/xhr_send", '["a"]')).status == 404

    async def test_one_receiver_at_a_time(self, echo: Service) -> None:
        path = fresh()
        async with echo.streaming(path) as first:
            await first.expect("o\n")
            second = await echo.post(f"{path}/xhr")
            assert (second.status, second.text) == (200, ANOTHER)
            # The first one does not suffer from it.
            await echo.post(f"{path}/xhr_send", '["still"]')
            await first.expect('a["still"]\n')

    async def test_close_session(self, close: Service) -> None:
        path = await close.opened()
        for _ in range(3):
            answer = await close.post(f"{path}/xhr")
            assert (answer.status, answer.text) == (200, GO_AWAY)

    async def test_what_was_sent_before_the_close_arrives_before_it(self, server: Server) -> None:
        path = await server.closing.opened()
        assert (await server.closing.post(f"{path}/xhr_send", '["now"]')).status == 204
        assert (await server.closing.post(f"{path}/xhr")).text == 'a["1","2","3"]\n'
        assert (await server.closing.post(f"{path}/xhr")).text == 'c[3001,"that was all"]\n'

    async def test_messages_that_come_too_late_are_no_error(self, close: Service) -> None:
        """A client that is told of an error so would not hear why the session is over."""
        path = await close.opened()
        assert (await close.post(f"{path}/xhr_send", '["late"]')).status == 204
        assert (await close.post(f"{path}/xhr")).text == GO_AWAY

    async def test_heartbeats(self, server: Server) -> None:
        path = await server.lively.opened()
        assert (await server.lively.post(f"{path}/xhr")).text == "h\n"
        async with server.lively.streaming(path) as stream:
            await stream.expect("h\nh\n")
        async with server.lively.socket(fresh()) as socket:
            assert [await socket.receive_str() for _ in range(3)] == ["o", "h", "h"]

    async def test_a_session_without_a_receiver_ends(self, server: Server) -> None:
        path = fresh()
        assert (await server.brief.post(f"{path}/xhr?{path}")).text == "o\n"
        await eventually(lambda: server.heard(path, "closed 1002 No client came to receive"))
        assert (await server.brief.post(f"{path}/xhr_send", '["a"]')).status == 404
        assert (await server.brief.post(f"{path}/xhr")).text == "o\n"

    async def test_a_receiver_in_time_keeps_it(self, server: Server) -> None:
        """Many times the delay, in answers that end and requests that come."""
        path = await server.lively.opened()
        for _ in range(5):
            assert (await server.lively.post(f"{path}/xhr")).text == "h\n"


class TestHandlingClose:
    async def test_close_frame(self, close: Service) -> None:
        path = fresh()
        async with close.streaming(path) as first:
            await first.expect("o\n" + GO_AWAY)
            async with close.streaming(path) as second:
                await second.expect(GO_AWAY)
                await second.ends()
            await first.ends()

    async def test_close_request(self, echo: Service) -> None:
        path = fresh()
        async with echo.streaming(path) as first:
            await first.expect("o\n")
            async with echo.streaming(path) as second:
                await second.expect(ANOTHER)
                await second.ends()

    async def test_abort_xhr_streaming(self, server: Server) -> None:
        path = fresh()
        async with server.watched.streaming(path) as first:
            await first.expect("o\n")
            await server.watched.post(f"{path}/xhr_send", f'["{path}"]')
            first.abort()
        await _interrupted(server, path)

    async def test_abort_xhr_polling(self, server: Server) -> None:
        path = await server.watched.opened()
        await server.watched.post(f"{path}/xhr_send", f'["{path}"]')
        polls = {asyncio.create_task(server.watched.post(f"{path}/xhr")) for _ in range(2)}
        (refused,), (waiting,) = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        assert refused.result().text == ANOTHER
        waiting.cancel()
        await _interrupted(server, path)


async def _interrupted(server: Server, path: str) -> None:
    """The next ones are told so once the server has noticed, and the application had what came before."""

    async def told() -> bool:
        answer = await server.watched.post(f"{path}/xhr")
        assert answer.text in {ANOTHER, INTERRUPTED}
        return answer.text == INTERRUPTED

    await eventually(told)
    assert await server.heard(path, "closed 1002 Connection interrupted")
    assert (await server.watched.post(f"{path}/xhr")).text == INTERRUPTED
