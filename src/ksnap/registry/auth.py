"""How a registry is signed in to, without a network: a generator that yields requests and is sent responses.

Follows the token authentication of distribution (docs/spec/auth/token.md) and RFC 7617 (Basic). The account's password
goes to the registry itself after a Basic challenge, or to the token service that the registry names; nowhere else.
Tokens are kept per purpose until shortly before they expire. Time is an argument.
"""

import base64
import json
import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from ksnap.errors import RegistryConnectionFailed

_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"^\s*([A-Za-z]+)(?:\s+|$)")
# docs/spec/auth/token.md: a token without `expires_in` is good for 60 s.
_DEFAULT_LIFETIME_S = 60.0
# A token is renewed this long before its end, so that it does not run out on the way.
_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate header."""

    scheme: str
    """In lower case."""
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """GET this address; redirects must not be followed."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class TokenResponse:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    expires_at: float


AuthFlow = Generator[TokenRequest, TokenResponse, str]


def parse_challenge(header: str) -> Challenge | None:
    """The challenge in one header value; None if it is none."""
    scheme = _SCHEME.match(header)
    if scheme is None:
        return None
    found = _PARAMETER.finditer(header, scheme.end())
    parameters = {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3] for match in found
    }
    return Challenge(scheme[1].lower(), parameters)


class RegistryAuth:
    """What one client knows of signing in to one registry."""

    def __init__(self, *, host: str, secure: bool, username: str, password: SecretStr) -> None:
        self._host = host
        self._secure = secure
        self._username = username
        self._password = password
        self._tokens: dict[str, _Token] = {}
        self._takes_basic = False

    def header(self, purpose: str, *, now: float) -> str | None:
        """The Authorization header that served this purpose before, if it still holds."""
        if self._takes_basic:
            return self._basic()
        token = self._tokens.get(purpose)
        return token.header if token is not None and now < token.expires_at else None

    def forget(self, purpose: str) -> None:
        """The registry no longer takes this purpose's header."""
        self._takes_basic = False
        self._tokens.pop(purpose, None)

    def answer(self, challenges: Iterable[str], *, purpose: str, scope: str, now: float) -> AuthFlow:
        """Answer a 401: yields at most one request, returns the header to repeat the refused request with."""
        parsed = [each for each in map(parse_challenge, challenges) if each is not None]
        for challenge in parsed:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                token = yield from self._bearer(challenge, scope, now)
                self._tokens[purpose] = token
                return token.header
        if any(challenge.scheme == "basic" for challenge in parsed):
            if not self._username:
                raise self._refused("it asks for an account and none is configured")
            # A password is good for every purpose.
            self._takes_basic = True
            return self._basic()
        raise self._refused("it offers no way to sign in that ksnap knows (Basic or Bearer)")

    def _bearer(self, challenge: Challenge, scope: str, now: float) -> Generator[TokenRequest, TokenResponse, _Token]:
        realm = challenge.parameters["realm"]
        allowed = ("https",) if self._secure else ("https", "http")
        if urlsplit(realm).scheme not in allowed or not urlsplit(realm).hostname:
            raise self._refused(f"its token service {realm[:200]!r} is not an https address")
        # The challenge names what the refused request needs; several scopes stand apart by spaces.
        scopes = (challenge.parameters.get("scope") or scope).split()
        query = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        query += [("scope", each) for each in scopes]
        if self._username:
            query.append(("account", self._username))
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        response = yield TokenRequest(url, {"Authorization": self._basic()} if self._username else {})
        if response.status != 200:
            raise self._refused(f"its token service answers {response.status}")
        return self._token(response.body, now)

    def _token(self, body: bytes, now: float) -> _Token:
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self._refused("its token service does not answer with JSON")
        text = content.get("token") or content.get("access_token")
        if not isinstance(text, str) or not text.isascii() or any(each.isspace() for each in text):
            raise self._refused("its token service's answer holds no token")
        lifetime = content.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else _DEFAULT_LIFETIME_S
        return _Token(f"Bearer {text}", now + max(seconds - _MARGIN_S, seconds / 2))

    def _basic(self) -> str:
        pair = f"{self._username}:{self._password.get_secret_value()}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    def _refused(self, reason: str) -> RegistryConnectionFailed:
        return credentials_refused(self._host, reason)


def credentials_refused(host: str, reason: str) -> RegistryConnectionFailed:
    """The error of every failed sign-in."""
    return RegistryConnectionFailed(
        f"Registry {host} refused the credentials",
        details=reason,
        hint="Check the registry's user name and password in its configuration",
    )
