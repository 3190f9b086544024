"""sockjs-protocol 0.3.3: JSONEncoding; and what else a message may hold, over each transport."""

import json
import re

import pytest

from tests.sockjs.client import Service, fresh, said

# What browsers change on the way to them, of the first plane from 255 on; and control characters, and half pairs.
FRAGILE = re.compile("[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
ESCAPED_BY_SERVER = "".join(f"\\u{each:04x}" for each in range(255, 0xD800) if FRAGILE.match(chr(each)))
ESCAPED_BY_SERVER += "".join(f"\\u{each:04x}" for each in range(0xE000, 0x10000) if FRAGILE.match(chr(each)))
# Each character of JavaScript that stands alone, but the halves of pairs.
EVERYTHING = "".join(chr(each) for each in range(0x10000) if not 0xD800 <= each < 0xE000) + "\U0001f600\U0010ffff"


class TestJSONEncoding:
    async def test_xhr_server_encodes(self, echo: Service) -> None:
        path = await echo.opened()
        body = json.dumps([json.loads(f'"{ESCAPED_BY_SERVER}"')], ensure_ascii=False)
        assert (await echo.post(f"{path}/xhr_send", body.encode())).status == 204
        assert (await echo.post(f"{path}/xhr")).text == f'a["{ESCAPED_BY_SERVER}"]\n'

    async def test_xhr_server_decodes(self, echo: Service) -> None:
        path = await echo.opened()
        escaped = "".join(f"\\u{each:04x}" for each in range(0x10000))
        assert (await echo.post(f"{path}/xhr_send", f'["{escaped}"]')).status == 204
        answer = (await echo.post(f"{path}/xhr")).text
        assert json.loads(answer[1:]) == json.loads(f'["{escaped}"]')

    async def test_half_pairs_arrive_and_whole_ones_are_one_character(self, echo: Service) -> None:
        path = await echo.opened()
        await echo.post(f"{path}/xhr_send", r'["\ud83d", "\ude00\ud83d", "\ud83d\ude00"]')
        assert (await echo.post(f"{path}/xhr")).text == 'a["\\ud83d","\\ude00\\ud83d","\U0001f600"]\n'

    async def test_over_a_websocket(self, echo: Service) -> None:
        async with echo.socket(fresh()) as socket:
            assert await said(socket) == "o"
            await socket.send_str(json.dumps([EVERYTHING, "\ud83d"]))
            frame = await said(socket)
            assert json.loads(frame[1:]) == [EVERYTHING, "\ud83d"]
            # A text for eyes costs no more than it must.
            await socket.send_str('["\u2500\u20ac\u00e4"]')
            assert await said(socket) == 'a["\u2500\u20ac\u00e4"]'

    @pytest.mark.parametrize(("query", "cut"), [("eventsource", "data: "), ("jsonp?c=x", "x("), ("htmlfile?c=x", "p(")])
    async def test_over_the_others(self, echo: Service, query: str, cut: str) -> None:
        path = await echo.opened()
        body = json.dumps([EVERYTHING, "\ud83d"])
        assert (await echo.post(f"{path}/xhr_send", body)).status == 204
        async with echo.stream("GET", f"{path}/{query}") as stream:
            line = await stream.line()
            while not line.startswith(f"{cut}a") and not line.startswith(f'{cut}"a'):
                line = await stream.line()
        frame = line.removeprefix(cut).rstrip("\r\n;").removesuffix(")") if cut != "data: " else line[len(cut) :]
        assert json.loads((json.loads(frame) if frame[0] == '"' else frame)[1:]) == [EVERYTHING, "\ud83d"]
