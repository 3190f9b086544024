"""sockjs-protocol 0.3.3: JsessionidCookie."""

import json
from collections.abc import Mapping

import pytest

from tests.sockjs.client import FORM, Server, Service, fresh
from tests.sockjs.expectations import no_cookie


@pytest.fixture
def service(server: Server) -> Service:
    return server.cookie_needed_echo


def _is_set(headers: Mapping[str, str], value: str = "dummy") -> None:
    cookie, path = headers["Set-Cookie"].split("; ")
    assert (cookie, path.lower()) == (f"JSESSIONID={value}", "path=/")


class TestJsessionidCookie:
    async def test_basic(self, service: Service) -> None:
        answer = await service.get("/info")
        no_cookie(answer)
        assert json.loads(answer.text)["cookie_needed"] is True

    async def test_xhr(self, service: Service) -> None:
        path = fresh()
        opened = await service.post(f"{path}/xhr")
        assert opened.text == "o\n"
        _is_set(opened.headers)
        _is_set((await service.post(f"{path}/xhr_send", '["a"]')).headers)
        kept = await service.post(f"{fresh()}/xhr", headers={"Cookie": "a=1; JSESSIONID=abcdef"})
        assert kept.text == "o\n"
        _is_set(kept.headers, "abcdef")

    @pytest.mark.parametrize(
        ("method", "transport"), [("POST", "xhr_streaming"), ("GET", "eventsource"), ("GET", "htmlfile?c=%63allback")]
    )
    async def test_streaming(self, service: Service, method: str, transport: str) -> None:
        async with service.stream(method, f"{fresh()}/{transport}") as stream:
            assert stream.response.status == 200
            _is_set(stream.response.headers)

    async def test_jsonp(self, service: Service) -> None:
        path = fresh()
        opened = await service.get(f"{path}/jsonp?c=%63allback")
        assert opened.text == 'callback("o");\r\n'
        _is_set(opened.headers)
        sent = await service.post(f"{path}/jsonp_send", "d=%5B%22x%22%5D", headers=FORM)
        assert sent.text == "ok"
        _is_set(sent.headers)

    async def test_others_set_none(self, echo: Service) -> None:
        no_cookie(await echo.post(f"{fresh()}/xhr", headers={"Cookie": "JSESSIONID=abcdef"}))
