"""Whose pages may speak to us: our own, and those that are named (contract, section 10, `better`)."""

import aiohttp
import pytest

from tests.sockjs.client import FORM, Server, fresh

LISTED = "http://listed.example"
STRANGER = "https://stranger.example"
REFUSED = "Pages of this origin may not connect"


class TestAnotherSite:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/info"),
            ("OPTIONS", "/info"),
            ("POST", f"{fresh()}/xhr"),
            ("POST", f"{fresh()}/xhr_streaming"),
            ("POST", f"{fresh()}/xhr_send"),
            ("GET", f"{fresh()}/eventsource"),
            ("POST", f"{fresh()}/jsonp_send"),
        ],
    )
    @pytest.mark.parametrize("origin", [STRANGER, "null", "http://[", LISTED + ".evil", ""])
    async def test_is_refused(self, server: Server, method: str, path: str, origin: str) -> None:
        answer = await server.listed.ask(method, path, headers={"Origin": origin})
        assert (answer.status, answer.text) == (403, REFUSED)
        assert "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.parametrize("transport", ["jsonp", "htmlfile"])
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize("referrer", [None, f"{STRANGER}/page", "nonsense"])
    async def test_has_no_scripts_or_frames_of_ours(
        self, server: Server, transport: str, site: str, referrer: str | None
    ) -> None:
        """For which browsers send no origin."""
        headers = {"Sec-Fetch-Site": site, **({"Referer": referrer} if referrer else {})}
        answer = await server.listed.get(f"{fresh()}/{transport}?c=x", headers=headers)
        assert (answer.status, answer.text) == (403, REFUSED)

    @pytest.mark.parametrize("path", ["", fresh()])
    async def test_gets_no_websocket(self, server: Server, path: str) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with server.strict.socket(path, headers={"Origin": STRANGER}):
                pass
        assert refused.value.status == 403

    async def test_may_read_the_greeting(self, server: Server) -> None:
        assert (await server.strict.get("/", headers={"Origin": STRANGER})).status == 200


class TestOurOwnAndThoseThatAreNamed:
    async def test_the_same_host(self, server: Server, sockjs_url: str) -> None:
        answer = await server.strict.post(f"{fresh()}/xhr", headers={"Origin": sockjs_url})
        assert (answer.status, answer.text) == (200, "o\n")
        # Behind a proxy that ends TLS, the page's scheme is another one.
        secure = sockjs_url.replace("http:", "https:")
        async with server.strict.socket(fresh(), headers={"Origin": secure}) as socket:
            assert await socket.receive_str() == "o"

    async def test_the_same_origin_as_a_browser_says(self, server: Server) -> None:
        """A form of a page without a referrer has the origin null (jsonp_send)."""
        path = await server.strict.opened()
        headers = {**FORM, "Origin": "null", "Sec-Fetch-Site": "same-origin"}
        assert (await server.strict.post(f"{path}/jsonp_send", "d=%5B%22x%22%5D", headers=headers)).text == "ok"

    async def test_a_named_one(self, server: Server) -> None:
        answer = await server.listed.post(f"{fresh()}/xhr", headers={"Origin": LISTED})
        assert (answer.status, answer.text) == (200, "o\n")
        assert answer.headers["Access-Control-Allow-Origin"] == LISTED
        assert answer.headers["Vary"] == "Origin"
        script = {"Sec-Fetch-Site": "cross-site", "Referer": f"{LISTED}/page?x"}
        assert (await server.listed.get(f"{fresh()}/jsonp?c=x", headers=script)).status == 200
        async with server.listed.socket(fresh(), headers={"Origin": LISTED}) as socket:
            assert await socket.receive_str() == "o"

    async def test_a_program(self, server: Server) -> None:
        answer = await server.strict.post(f"{fresh()}/xhr")
        assert (answer.status, answer.text) == (200, "o\n")
        assert "Access-Control-Allow-Origin" not in answer.headers
