"""A thin client for tests: every failure it sees is held against the envelope of four keys."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any
    text: str

    @property
    def code(self) -> str:
        return str(self.body["code"])

    @property
    def details(self) -> str:
        return str(self.body["details"])


@dataclass(frozen=True, slots=True)
class Client:
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        if body is not None:
            options["json"] = body
        async with self.session.request(method, path, **options) as response:
            text = await response.text()
            json = response.content_type == "application/json"
            answer = Answer(response.status, response.headers, await response.json() if json else None, text)
        if answer.status >= 400:
            check_envelope(answer)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.call("PUT", path, body, **options)

    async def delete(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.call("DELETE", path, body, **options)


@asynccontextmanager
async def open_client(url: str, token: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=50)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
        yield Client(session)


def check_envelope(answer: Answer) -> None:
    """Exactly four keys, of the right types (contract, section 1)."""
    assert answer.headers["Content-Type"] == "application/json", answer
    assert list(answer.body) == ["success", "error", "details", "code"], answer
    assert answer.body["success"] is False
    assert all(isinstance(answer.body[key], str) for key in ("error", "details", "code")), answer
    assert answer.body["error"]
    assert answer.headers["X-Request-Id"]
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(answer.headers), answer


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"
