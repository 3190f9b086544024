"""sockjs-protocol 0.3.3: WebsocketHttpErrors, WebsocketHybi10, RawWebsocket; its Hixie-76 is no WebSocket any more."""

import aiohttp
import pytest

from tests.sockjs.client import Server, Service, closed, eventually, fresh, said

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
HANDSHAKE = {**UPGRADE, "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="}


class TestWebsocketHttpErrors:
    async def test_http_method(self, echo: Service) -> None:
        answer = await echo.get("/0/0/websocket")
        assert (answer.status, answer.text) == (400, 'Can "Upgrade" only to "WebSocket".')

    async def test_invalid_connection_header(self, echo: Service) -> None:
        answer = await echo.get("/0/0/websocket", headers={"Upgrade": "WebSocket", "Connection": "close"})
        assert (answer.status, answer.text) == (400, '"Connection" must be "Upgrade".')

    @pytest.mark.parametrize("headers", [UPGRADE, {}])
    async def test_invalid_method(self, echo: Service, headers: dict[str, str]) -> None:
        answer = await echo.post("/0/0/websocket", headers=headers)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")

    async def test_where_it_is_off_or_nothing_is(self, server: Server) -> None:
        off = server.disabled_websocket_echo
        for service, path in ((off, fresh()), (off, ""), (server.echo, "/a/a/a"), (server.echo, f"{fresh()}/xhr")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with service.socket(path):
                    pass
            assert refused.value.status == 404
        assert (await off.get(f"{fresh()}/websocket")).status == 404


class TestWebsocketHybi10:
    async def test_transport(self, echo: Service) -> None:
        async with echo.socket(fresh()) as socket:
            assert await said(socket) == "o"
            await socket.send_str("")  # is ignored
            await socket.send_str("[]")
            await socket.send_str('["a"]')
            assert await said(socket) == 'a["a"]'
            await socket.send_str('"one"')
            assert await said(socket) == 'a["one"]'

    async def test_close(self, close: Service) -> None:
        async with close.socket(fresh()) as socket:
            assert [await said(socket), await said(socket)] == ["o", 'c[3000,"Go away!"]']
            assert await closed(socket) == (1000, "")

    async def test_headers_sanity(self, echo: Service) -> None:
        path = f"/echo{fresh()}/websocket"
        for connection in ("Upgrade", "keep-alive, Upgrade"):
            async with echo.session.get(path, headers={**HANDSHAKE, "Connection": connection}) as answer:
                assert answer.status == 101
                assert answer.headers["Sec-WebSocket-Accept"] == "HSmrc0sMlYUkAGmm5OPpG2HaGWk="
                assert answer.headers["Connection"].lower() == "upgrade"
                assert answer.headers["Upgrade"].lower() == "websocket"
                assert "Content-Length" not in answer.headers
                answer.close()

    async def test_reuse_session_id(self, echo: Service) -> None:
        path = fresh()
        async with echo.socket(path) as first, echo.socket(path) as second:
            assert [await said(first), await said(second)] == ["o", "o"]
            await second.send_str('["b"]')
            await first.send_str('["a"]')
            assert [await said(first), await said(second)] == ['a["a"]', 'a["b"]']
        async with echo.socket(path) as again:
            assert await said(again) == "o"

    @pytest.mark.parametrize("text", ['["a', "[1]", "{}", "7"])
    async def test_broken_json(self, echo: Service, text: str) -> None:
        async with echo.socket(fresh()) as socket:
            assert await said(socket) == "o"
            await socket.send_str(text)
            assert await closed(socket) == (1007, "Broken JSON encoding.")

    async def test_bytes_are_no_messages(self, echo: Service) -> None:
        async with echo.socket(fresh()) as socket:
            assert await said(socket) == "o"
            await socket.send_bytes(b'["a"]')
            assert (await closed(socket))[0] == 1003

    async def test_the_application_hears_that_the_client_has_gone(self, server: Server) -> None:
        path = fresh()
        async with server.watched.socket(path) as socket:
            assert await said(socket) == "o"
            await socket.send_str(f'["{path}"]')
        await eventually(lambda: server.heard(path, "closed 1002 Connection interrupted"))

    async def test_what_was_sent_before_the_close_arrives_before_it(self, server: Server) -> None:
        async with server.closing.socket(fresh()) as socket:
            assert await said(socket) == "o"
            await socket.send_str('["now"]')
            assert [await said(socket), await said(socket)] == ['a["1","2","3"]', 'c[3001,"that was all"]']


class TestRawWebsocket:
    async def test_transport(self, echo: Service) -> None:
        async with echo.socket() as socket:
            for text in ("Hello world!\uffff", '["a"]', "\x00\u2028\U0001f600", "x" * 100_000):
                await socket.send_str(text)
                assert await said(socket) == text

    async def test_close(self, close: Service) -> None:
        async with close.socket() as socket:
            assert await closed(socket) == (3000, "Go away!")

    async def test_it_has_no_heartbeats(self, server: Server) -> None:
        async with server.lively.socket() as raw, server.lively.socket(fresh()) as framed:
            assert [await said(framed) for _ in range(4)] == ["o", "h", "h", "h"]
            await raw.send_str("x")
            assert await said(raw) == "x"
