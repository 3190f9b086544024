"""What the protocol's suite asks of many answers alike."""

import re
from collections.abc import Mapping

from tests.sockjs.client import Answer, Service


def not_cached(answer_headers: Mapping[str, str]) -> None:
    assert answer_headers["Cache-Control"] == "no-store, no-cache, must-revalidate, max-age=0"
    assert "Expires" not in answer_headers
    assert "Last-Modified" not in answer_headers


def cached_for_a_year(answer_headers: Mapping[str, str]) -> None:
    assert "public" in answer_headers["Cache-Control"]
    assert re.search("max-age=[1-9][0-9]{6}", answer_headers["Cache-Control"])
    assert answer_headers["Expires"]
    assert "Last-Modified" not in answer_headers


def readable_by(answer_headers: Mapping[str, str], origin: str | None) -> None:
    """For pages of that origin, with their cookies."""
    assert answer_headers["Access-Control-Allow-Origin"] == (origin or "*")
    assert answer_headers["Access-Control-Allow-Credentials"] == "true"


def no_cookie(answer: Answer) -> None:
    assert "Set-Cookie" not in answer.headers


async def preflights(service: Service, path: str, methods: str) -> None:
    # The suite of 0.3.3 wants `*` for the origin `null`; browsers refuse that beside credentials, and later
    # revisions of the suite ask for the origin itself.
    for origin in (None, "test", "null"):
        answer = await service.ask("OPTIONS", path, headers={"Origin": origin} if origin else {})
        assert answer.status == 204
        assert answer.text == ""
        assert int(answer.headers["Access-Control-Max-Age"]) > 1_000_000
        assert answer.headers["Access-Control-Allow-Methods"] == methods
        cached_for_a_year(answer.headers)
        readable_by(answer.headers, origin)
