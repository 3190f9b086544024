"""Tokens against cross-site request forgery, as golang.org/x/net/xsrftoken makes them (contract, section 4).

`base64url(HMAC-SHA1(key, user ":" action ":" milliseconds)) ":" milliseconds`, colons within a part doubled. The user
is `none`, or a digest of the bearer token that came along: such a token is worth nothing beside another one's.
"""

import hashlib
import hmac
import re
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

LIFE_MS = 24 * 3600 * 1000
AHEAD_MS = 60 * 1000
"""What another server's clock may be ahead."""
ANYBODY = "none"
_FORM = re.compile(r"[A-Za-z0-9_-]{27}:(\d{1,19})")


def make_token(key: bytes, action: str, now_ms: int, user: str = ANYBODY) -> str:
    """A token for one action (the first path segment after /api/v1/)."""
    told = f"{_clean(user)}:{_clean(action)}:{now_ms}".encode()
    mac = hmac.digest(key, told, hashlib.sha1)
    return urlsafe_b64encode(mac).decode().rstrip("=") + f":{now_ms}"


def is_valid(key: bytes, token: str, action: str, now_ms: int, user: str = ANYBODY) -> bool:
    """Whether a token was made for this action less than a day ago, for this user or for anybody."""
    form = _FORM.fullmatch(token)
    if form is None:
        return False
    made_ms = int(form[1])
    if now_ms - made_ms >= LIFE_MS or made_ms - now_ms > AHEAD_MS:
        return False
    wanted = [make_token(key, action, made_ms, each) for each in {user, ANYBODY}]
    return any(hmac.compare_digest(token, each) for each in wanted)


def user_of(bearer: str) -> str:
    """What stands for the owner of a bearer token; `none` without one."""
    return hashlib.sha256(bearer.encode()).hexdigest() if bearer else ANYBODY


def action_of(path: str) -> str:
    """The first segment after /api/v1/ of a path."""
    return path.partition("/api/v1/")[2].partition("/")[0]


def _clean(text: str) -> str:
    return text.replace(":", "::")


@dataclass(frozen=True, slots=True)
class CsrfTokens:
    """The tokens of one installation."""

    _key: bytes = field(repr=False)
    required: bool = True

    def issue(self, action: str, bearer: str) -> str:
        """A token for an action, for the owner of a bearer token, or for anybody."""
        now_ms = -(-time.time_ns() // 1_000_000)  # rounded up, as the original does
        return make_token(self._key, action, now_ms, user_of(bearer))

    def accepts(self, token: str, path: str, bearer: str) -> bool:
        """Whether a POST to this path may be done."""
        return not self.required or is_valid(
            self._key, token, action_of(path), time.time_ns() // 1_000_000, user_of(bearer)
        )
