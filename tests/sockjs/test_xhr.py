"""sockjs-protocol 0.3.3: XhrPolling, XhrStreaming."""

import pytest

from tests.sockjs.client import Service, fresh
from tests.sockjs.expectations import not_cached, preflights, readable_by

ORIGINS = [None, "test"]


def _from(origin: str | None) -> dict[str, str]:
    return {"Origin": origin} if origin else {}


class TestXhrPolling:
    @pytest.mark.parametrize("transport", ["xhr", "xhr_send"])
    async def test_options(self, echo: Service, transport: str) -> None:
        await preflights(echo, f"/abc/abc/{transport}", "OPTIONS, POST")

    @pytest.mark.parametrize("origin", ORIGINS)
    async def test_transport(self, echo: Service, origin: str | None) -> None:
        path = fresh()
        opened = await echo.post(f"{path}/xhr", headers=_from(origin))
        assert (opened.status, opened.text) == (200, "o\n")
        assert opened.kind == "application/javascript;charset=UTF-8"
        readable_by(opened.headers, origin)
        not_cached(opened.headers)
        sent = await echo.post(f"{path}/xhr_send", '["x"]', headers=_from(origin))
        assert (sent.status, sent.text) == (204, "")
        assert sent.kind == "text/plain;charset=UTF-8"
        readable_by(sent.headers, origin)
        not_cached(sent.headers)
        assert (await echo.post(f"{path}/xhr")).text == 'a["x"]\n'

    async def test_invalid_session(self, echo: Service) -> None:
        assert (await echo.post(f"{fresh()}/xhr_send", '["x"]')).status == 404

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ('["x', "Broken JSON encoding."),
            ("", "Payload expected."),
            ('"x"', "Broken JSON encoding."),
            ('{"a":1}', "Broken JSON encoding."),
            ("[1]", "Broken JSON encoding."),
            ("[" * 100_000, "Broken JSON encoding."),
            (b'["\xff"]', "Broken JSON encoding."),
        ],
    )
    async def test_invalid_json(self, echo: Service, body: str | bytes, error: str) -> None:
        path = await echo.opened()
        answer = await echo.post(f"{path}/xhr_send", body)
        assert (answer.status, answer.text) == (500, error)
        assert (await echo.post(f"{path}/xhr_send", '["a"]')).status == 204
        assert (await echo.post(f"{path}/xhr")).text == 'a["a"]\n'

    async def test_content_types(self, echo: Service) -> None:
        path = await echo.opened()
        kinds = ["text/plain", "T", "application/json", "application/xml", "", "application/json; charset=utf-8"]
        kinds += ["text/xml; charset=utf-8", "text/xml", "application/x-www-form-urlencoded"]
        for kind in kinds:
            answer = await echo.post(f"{path}/xhr_send", '["a"]', headers={"Content-Type": kind})
            assert (answer.status, answer.text) == (204, "")
        assert (await echo.post(f"{path}/xhr")).text == 'a["a"' + ',"a"' * (len(kinds) - 1) + "]\n"

    @pytest.mark.parametrize("method", ["OPTIONS", "POST"])
    async def test_request_headers_cors(self, echo: Service, method: str) -> None:
        for asked in ("a, b, c", "", None):
            headers = {"Origin": "test", **({} if asked is None else {"Access-Control-Request-Headers": asked})}
            answer = await echo.ask(method, f"{fresh()}/xhr", headers=headers)
            assert answer.status in {200, 204}
            readable_by(answer.headers, "test")
            assert answer.headers.get("Access-Control-Allow-Headers", "") == (asked or "")

    async def test_sending_empty_frame(self, echo: Service) -> None:
        path = await echo.opened()
        assert (await echo.post(f"{path}/xhr_send", "[]")).status == 204
        assert (await echo.post(f"{path}/xhr_send", '["a"]')).status == 204
        assert (await echo.post(f"{path}/xhr")).text == 'a["a"]\n'

    @pytest.mark.parametrize("transport", ["xhr", "xhr_send", "xhr_streaming"])
    async def test_wrong_method(self, echo: Service, transport: str) -> None:
        answer = await echo.get(f"{fresh()}/{transport}")
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")


class TestXhrStreaming:
    async def test_options(self, echo: Service) -> None:
        await preflights(echo, "/abc/abc/xhr_streaming", "OPTIONS, POST")

    @pytest.mark.parametrize("origin", ORIGINS)
    async def test_transport(self, echo: Service, origin: str | None) -> None:
        path = fresh()
        async with echo.streaming(path, headers=_from(origin)) as stream:
            assert stream.response.headers["Content-Type"].replace(" ", "") == "application/javascript;charset=UTF-8"
            readable_by(stream.response.headers, origin)
            not_cached(stream.response.headers)
            await stream.expect("o\n")
            assert (await echo.post(f"{path}/xhr_send", '["x"]')).status == 204
            await stream.expect('a["x"]\n')

    async def test_response_limit(self, echo: Service) -> None:
        path = fresh()
        message = "x" * 128
        async with echo.streaming(path) as stream:
            await stream.expect("o\n")
            for _ in range(31):
                assert (await echo.post(f"{path}/xhr_send", f'["{message}"]')).status == 204
                await stream.expect(f'a["{message}"]\n')
            await stream.ends()
        # The session goes on in the next one.
        async with echo.streaming(path) as stream:
            await echo.post(f"{path}/xhr_send", '["on"]')
            await stream.expect('a["on"]\n')
