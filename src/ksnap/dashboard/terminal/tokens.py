"""Whether a connection comes with the token that opened its session: sessions keep a digest, never a token. Pure."""

import hashlib
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

COOKIE = "token"
"""Where the Dashboard's page keeps it."""


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def fits(headers: Mapping[str, str], opened_with: str) -> bool:
    """Whether what came along is the token of this digest. None need come: the session's id is a secret by itself."""
    authorization, cookie = headers.get("authorization", ""), _cookie(headers.get("cookie", ""))
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or digest(token.strip()) != opened_with:
            return False
    return not cookie or opened_with in {digest(cookie), digest(unquote(cookie))}


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
