"""sockjs-protocol 0.3.3: EventSource, HtmlFile, JsonPolling."""

import json
from urllib.parse import quote

import pytest

from tests.sockjs.client import FORM, Service, fresh
from tests.sockjs.expectations import not_cached, preflights


class TestEventSource:
    async def test_transport(self, echo: Service) -> None:
        path = fresh()
        async with echo.stream("GET", f"{path}/eventsource") as stream:
            assert stream.response.headers["Content-Type"].replace(" ", "") == "text/event-stream;charset=UTF-8"
            not_cached(stream.response.headers)
            await stream.expect("\r\ndata: o\r\n\r\n")
            await echo.post(f"{path}/xhr_send", '["x"]')
            await stream.expect('data: a["x"]\r\n\r\n')
            await echo.post(f"{path}/xhr_send", r'["  \u0000\n\r "]')
            await stream.expect('data: a["  \\u0000\\n\\r "]\r\n\r\n')

    async def test_a_percent_sign_means_the_same_to_clients_that_decode_urls(self, echo: Service) -> None:
        path = fresh()
        async with echo.stream("GET", f"{path}/eventsource") as stream:
            await stream.expect("\r\ndata: o\r\n\r\n")
            await echo.post(f"{path}/xhr_send", r'["100% %41 \\%"]')
            await stream.expect(r'data: a["100\u0025 \u002541 \\\u0025"]' + "\r\n\r\n")

    async def test_response_limit(self, echo: Service) -> None:
        path, message = fresh(), "x" * 4096
        async with echo.stream("GET", f"{path}/eventsource") as stream:
            await stream.expect("\r\ndata: o\r\n\r\n")
            await echo.post(f"{path}/xhr_send", f'["{message}"]')
            await stream.expect(f'data: a["{message}"]\r\n\r\n')
            await stream.ends()


HEAD = r"""
<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
""".strip()
OPEN = '<script>\np("o");\n</script>\r\n'


class TestHtmlFile:
    async def test_transport(self, echo: Service) -> None:
        path = fresh()
        async with echo.stream("GET", f"{path}/htmlfile?c=%63allback") as stream:
            assert stream.response.headers["Content-Type"].replace(" ", "") == "text/html;charset=UTF-8"
            not_cached(stream.response.headers)
            head = await stream.response.content.readuntil(b"\r\n\r\n")
            assert head.decode().strip() == HEAD
            assert len(head) > 1024
            await stream.expect(OPEN)
            await echo.post(f"{path}/xhr_send", '["x"]')
            await stream.expect('<script>\np("a[\\"x\\"]");\n</script>\r\n')

    async def test_no_message_ends_the_script(self, echo: Service) -> None:
        path = fresh()
        async with echo.stream("GET", f"{path}/htmlfile?c=callback") as stream:
            await stream.response.content.readuntil(b"\r\n\r\n")
            await stream.expect(OPEN)
            await echo.post(f"{path}/xhr_send", '["</script><!--"]')
            await stream.expect('<script>\np("a[\\"\\u003c/script>\\u003c!--\\"]");\n</script>\r\n')

    async def test_no_callback(self, echo: Service) -> None:
        answer = await echo.get("/a/a/htmlfile")
        assert (answer.status, answer.text) == (500, '"callback" parameter required')

    async def test_response_limit(self, echo: Service) -> None:
        path, message = fresh(), "x" * 4096
        async with echo.stream("GET", f"{path}/htmlfile?c=callback") as stream:
            await stream.response.content.readuntil(b"\r\n\r\n")
            await stream.expect(OPEN)
            await echo.post(f"{path}/xhr_send", f'["{message}"]')
            await stream.expect(f'<script>\np("a[\\"{message}\\"]");\n</script>\r\n')
            await stream.ends()


INVALID_CALLBACKS = ["%20", "*", "abc(", "abc%28", "a-b", "a" * 129, "%E2%80%A8"]


@pytest.mark.parametrize("transport", ["htmlfile", "jsonp"])
@pytest.mark.parametrize("callback", INVALID_CALLBACKS)
async def test_invalid_callback(echo: Service, transport: str, callback: str) -> None:
    answer = await echo.get(f"/a/a/{transport}?c={callback}")
    assert (answer.status, answer.text) == (400, 'invalid "callback" parameter')


class TestJsonPolling:
    async def test_options(self, echo: Service) -> None:
        await preflights(echo, "/abc/abc/jsonp", "OPTIONS, GET")

    async def test_transport(self, echo: Service) -> None:
        path = fresh()
        opened = await echo.get(f"{path}/jsonp?c=%63allback")
        assert (opened.status, opened.text) == (200, 'callback("o");\r\n')
        assert opened.kind == "application/javascript;charset=UTF-8"
        not_cached(opened.headers)
        sent = await echo.post(f"{path}/jsonp_send", "d=%5B%22x%22%5D", headers=FORM)
        assert (sent.status, sent.text) == (200, "ok")
        assert sent.kind == "text/plain;charset=UTF-8"
        not_cached(sent.headers)
        assert (await echo.get(f"{path}/jsonp?c=%63allback")).text == 'callback("a[\\"x\\"]");\r\n'

    async def test_no_callback(self, echo: Service) -> None:
        answer = await echo.get("/a/a/jsonp")
        assert (answer.status, answer.text) == (500, '"callback" parameter required')

    async def test_invalid_json(self, echo: Service) -> None:
        path = await self._opened(echo)
        broken = await echo.post(f"{path}/jsonp_send", "d=%5B%22x", headers=FORM)
        assert (broken.status, broken.text) == (500, "Broken JSON encoding.")
        for body in ("d=%ff", "&".join(["a=1"] * 100)):
            assert (await echo.post(f"{path}/jsonp_send", body, headers=FORM)).text == "Broken JSON encoding."
        for body in ("", "d=", "p=p"):
            missing = await echo.post(f"{path}/jsonp_send", body, headers=FORM)
            assert (missing.status, missing.text) == (500, "Payload expected.")
        assert (await echo.post(f"{path}/jsonp_send", "d=%5B%22b%22%5D", headers=FORM)).text == "ok"
        assert (await echo.get(f"{path}/jsonp?c=x")).text == 'x("a[\\"b\\"]");\r\n'

    async def test_content_types(self, echo: Service) -> None:
        path = await self._opened(echo)
        assert (await echo.post(f"{path}/jsonp_send", "d=%5B%22abc%22%5D", headers=FORM)).text == "ok"
        plain = {"Content-Type": "text/plain"}
        assert (await echo.post(f"{path}/jsonp_send", '["%61bc"]', headers=plain)).text == "ok"
        assert (await echo.get(f"{path}/jsonp?c=x")).text == 'x("a[\\"abc\\",\\"%61bc\\"]");\r\n'

    async def test_what_a_form_does_to_a_message(self, echo: Service) -> None:
        path = await self._opened(echo)
        payload = json.dumps(["a+b c&d=e%\u00e4\u20ac\U0001f600"], ensure_ascii=False)
        form = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        assert (await echo.post(f"{path}/jsonp_send", f"d={quote(payload)}", headers=form)).text == "ok"
        assert (
            await echo.get(f"{path}/jsonp?c=x")
        ).text == f"x({json.dumps('a' + payload.replace(', ', ','), ensure_ascii=False)});\r\n"

    async def test_close(self, close: Service) -> None:
        path = await self._opened(close)
        for _ in range(2):
            assert (await close.get(f"{path}/jsonp?c=x")).text == 'x("c[3000,\\"Go away!\\"]");\r\n'

    async def test_sending_empty_frame(self, echo: Service) -> None:
        path = await self._opened(echo)
        assert (await echo.post(f"{path}/jsonp_send", "d=%5B%5D", headers=FORM)).text == "ok"
        assert (await echo.post(f"{path}/jsonp_send", "d=%5B%22x%22%5D", headers=FORM)).text == "ok"
        assert (await echo.get(f"{path}/jsonp?c=x")).text == 'x("a[\\"x\\"]");\r\n'

    async def test_invalid_session(self, echo: Service) -> None:
        assert (await echo.post(f"{fresh()}/jsonp_send", "d=%5B%22x%22%5D", headers=FORM)).status == 404

    async def _opened(self, service: Service) -> str:
        path = fresh()
        assert (await service.get(f"{path}/jsonp?c=x")).text == 'x("o");\r\n'
        return path
