"""Answers that concern no session: greeting, info, the iframe's page, preflights; and headers about caching.

The wording of the iframe's page is the protocol's own: clients of other makers rely on it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from html import escape

from ksnap.sockjs.origins import EVERYBODY, cors_headers
from ksnap.sockjs.paths import METHODS, Place

YEAR_S = 31_536_000
DAY_S = 86_400
PLAIN = "text/plain; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
JAVASCRIPT = "text/javascript; charset=UTF-8"
NOT_CACHED = [("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")]

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""


def text_answer(status: int, text: str, headers: Headers | None = None) -> Answer:
    return Answer(status, [("Content-Type", PLAIN), *(headers or [])], text.encode())


def greeting() -> Answer:
    return text_answer(200, "Welcome to SockJS!\n")


def info(*, websocket: bool, cookie_needed: bool, entropy: int, headers: Headers) -> Answer:
    """What the server can do. `origins` is a word of the protocol that no client reads; who may speak is not told."""
    body = {"websocket": websocket, "cookie_needed": cookie_needed, "origins": ["*:*"], "entropy": entropy}
    kind = ("Content-Type", "application/json; charset=UTF-8")
    return Answer(200, [kind, *NOT_CACHED, *headers], json.dumps(body, separators=(",", ":")).encode())


def preflight(place: Place, cors: Headers, now: datetime) -> Answer:
    methods = ", ".join(METHODS[place])
    allowed = [("Access-Control-Allow-Methods", methods), ("Access-Control-Max-Age", str(YEAR_S))]
    return Answer(204, [*_cached(now), *allowed, *cors])


def method_not_allowed(place: Place) -> Answer:
    return Answer(405, [("Allow", ", ".join(METHODS[place]))])


def file_answer(
    body: bytes, kind: str, *, seconds: int, known: str | None, now: datetime, headers: Headers | None = None
) -> Answer:
    """A file that may be kept for so long; `known` is the ETag of what the browser has (If-None-Match)."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    caching = [*_cached(now, seconds), ("ETag", etag), *(headers or [])]
    if known is not None and etag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Answer(304, caching)
    return Answer(200, [("Content-Type", kind), *caching], body)


def iframe_page(library_url: str) -> bytes:
    """The page that speaks to us in another page's stead."""
    return (_IFRAME % escape(library_url)).encode()


def framing(allowed: Collection[str]) -> Headers:
    """Who may show it in a frame; where a browser knows this header, it looks at no X-Frame-Options."""
    whom = EVERYBODY if EVERYBODY in allowed else " ".join(["'self'", *sorted(allowed)])
    return [("Content-Security-Policy", f"frame-ancestors {whom}")]


def session_headers(
    headers: Mapping[str, str], cookies: Mapping[str, str], allowed: Collection[str], *, cookie: bool
) -> Headers:
    """What every answer of a session's address carries."""
    kept = cookies.get("JSESSIONID", "dummy")
    mine = [("Set-Cookie", f"JSESSIONID={kept}; Path=/")] if cookie else []
    return [*NOT_CACHED, *cors_headers(headers, allowed), *mine]


def _cached(now: datetime, seconds: int = YEAR_S) -> Headers:
    until = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    return [("Cache-Control", f"public, max-age={seconds}"), ("Expires", until)]


_IFRAME = """\
<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script>
    document.domain = document.domain;
    _sockjs_onload = function(){SockJS.bootstrap_iframe();};
  </script>
  <script src="%s"></script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""
