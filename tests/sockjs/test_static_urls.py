"""sockjs-protocol 0.3.3: BaseUrlGreeting, IframePage, InfoTest."""

import json
import re

import pytest

from tests.sockjs.client import Server, Service
from tests.sockjs.expectations import cached_for_a_year, no_cookie, not_cached, preflights, readable_by


class TestBaseUrlGreeting:
    @pytest.mark.parametrize("path", ["", "/"])
    async def test_greeting(self, echo: Service, path: str) -> None:
        answer = await echo.get(path)
        assert (answer.status, answer.text) == (200, "Welcome to SockJS!\n")
        assert answer.kind == "text/plain;charset=UTF-8"
        no_cookie(answer)

    @pytest.mark.parametrize("path", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/", "/info/", "/Info"])
    async def test_not_found(self, echo: Service, path: str) -> None:
        assert (await echo.get(path)).status == 404


PAGE = re.compile(
    r"""<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script>
    document\.domain = document\.domain;
    _sockjs_onload = function\(\)\{SockJS\.bootstrap_iframe\(\);\};
  </script>
  <script src="(?P<library>[^"]*)"></script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe\. It's used for cross domain magic\.</p>
</body>
</html>"""
)


async def _library_of_page(service: Service, path: str) -> str:
    answer = await service.get(path)
    assert answer.status == 200
    assert answer.kind == "text/html;charset=UTF-8"
    assert answer.headers["ETag"]
    cached_for_a_year(answer.headers)
    no_cookie(answer)
    page = PAGE.fullmatch(answer.text.strip())
    assert page is not None, answer.text
    return page["library"]


class TestIframePage:
    @pytest.mark.parametrize(
        "path",
        [
            "/iframe.html",
            "/iframe-a.html",
            "/iframe-.html",
            "/iframe-0.1.2.html",
            "/iframe-0.1.2abc-dirty.2144.html",
            "/iframe-a.html?t=1234",
            "/iframe-0.1.2.html?t=123414",
            "/iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
        ],
    )
    async def test_simple_versioned_and_queried_url(self, echo: Service, path: str) -> None:
        assert (await _library_of_page(echo, path)).startswith("/")

    @pytest.mark.parametrize(
        "path",
        ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML", "/iframe.xml", "/iframe-/.html"],
    )
    async def test_invalid_url(self, echo: Service, path: str) -> None:
        assert (await echo.get(path)).status == 404

    async def test_cacheability(self, echo: Service) -> None:
        first, second = await echo.get("/iframe.html"), await echo.get("/iframe.html")
        assert first.headers["ETag"] == second.headers["ETag"]
        known = await echo.get("/iframe.html", headers={"If-None-Match": first.headers["ETag"]})
        assert (known.status, known.text) == (304, "")
        assert "Content-Type" not in known.headers

    async def test_the_library_is_ours(self, echo: Service) -> None:
        library = await _library_of_page(echo, "/iframe.html")
        answer = await echo.get(library.removeprefix("/echo"))
        assert answer.status == 200
        assert answer.kind == "text/javascript;charset=UTF-8"
        assert "sockjs-client v1.6.1" in answer.text
        known = await echo.get("/sockjs.min.js", headers={"If-None-Match": f'"x", {answer.headers["ETag"]}'})
        assert known.status == 304

    async def test_the_library_is_configurable(self, server: Server) -> None:
        assert await _library_of_page(server.elsewhere, "/iframe.html") == "https://cdn.example/sockjs.js?a=1&amp;b=2"

    async def test_who_may_frame_it(self, server: Server) -> None:
        """Browsers that know frame-ancestors look at no X-Frame-Options, which the server's other pages carry."""
        for service, whom in (
            (server.echo, "*"),
            (server.strict, "'self'"),
            (server.listed, "'self' http://listed.example"),
        ):
            page = await service.get("/iframe.html")
            assert page.headers["Content-Security-Policy"] == f"frame-ancestors {whom}"


class TestInfoTest:
    async def test_basic(self, echo: Service) -> None:
        for headers in ({}, {"Origin": "test"}):
            answer = await echo.get("/info", headers=headers)
            assert answer.status == 200
            assert answer.kind == "application/json;charset=UTF-8"
            no_cookie(answer)
            not_cached(answer.headers)
            readable_by(answer.headers, headers.get("Origin"))
            said = json.loads(answer.text)
            assert list(said) == ["websocket", "cookie_needed", "origins", "entropy"]
            assert said["websocket"] is True
            assert said["cookie_needed"] is False
            assert said["origins"] == ["*:*"]

    async def test_entropy(self, echo: Service) -> None:
        first, second = [json.loads((await echo.get("/info")).text)["entropy"] for _ in range(2)]
        assert first != second
        assert all(0 <= each < 1 << 32 for each in (first, second))

    async def test_options(self, echo: Service) -> None:
        await preflights(echo, "/info", "OPTIONS, GET")

    async def test_disabled_websocket(self, server: Server) -> None:
        assert json.loads((await server.disabled_websocket_echo.get("/info")).text)["websocket"] is False

    async def test_wrong_method(self, echo: Service) -> None:
        answer = await echo.post("/info")
        assert (answer.status, answer.headers["Allow"], answer.text) == (405, "OPTIONS, GET", "")
        assert "Content-Type" not in answer.headers
