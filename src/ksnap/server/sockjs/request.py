"""What an ASGI request is to the transports: its headers by name, its body within bounds, an answer in one piece."""

from collections.abc import Mapping
from functools import cached_property
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import Receive, Scope, Send

from ksnap.errors import TooLarge
from ksnap.sockjs.answers import Answer


class Request:
    """One HTTP request below the prefix."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @cached_property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self.scope)

    @property
    def cookies(self) -> Mapping[str, str]:
        return cookie_parser(self.headers.get("cookie", ""))

    @property
    def callback(self) -> str | None:
        """The query's `c`."""
        query: str = self.scope["query_string"].decode("latin-1")
        return next(iter(parse_qs(query).get("c", [])), None)

    async def body(self, limit_bytes: int) -> bytes:
        body = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > limit_bytes:
                raise TooLarge("The body is too large", details=f"at most {limit_bytes} bytes are accepted")
            if not message.get("more_body", False):
                return bytes(body)

    async def answer(self, answer: Answer) -> None:
        await self.start(answer.status, [*answer.headers, *_length(answer)])
        await self.send({"type": "http.response.body", "body": answer.body})

    async def start(self, status: int, headers: list[tuple[str, str]]) -> None:
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})


def headers_of(scope: Scope) -> Mapping[str, str]:
    return dict(Headers(scope=scope))


def path_below(scope: Scope) -> str:
    """The path without the prefix that the application is mounted at."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path", "")))


def _length(answer: Answer) -> list[tuple[str, str]]:
    return [] if answer.status in {204, 304} else [("Content-Length", str(len(answer.body)))]
