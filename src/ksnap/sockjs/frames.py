"""Frames: what a server says to a client, and messages: what both say to each other (sockjs-protocol, "Protocol and
framing").

A frame is `o`, `h`, `a[...]` or `c[code,reason]`. A client sends no frames: a JSON list of strings, no more.
"""

import json
import re
from dataclasses import dataclass

from ksnap.errors import InvalidInput, KsnapError


@dataclass(frozen=True, slots=True)
class Opened:
    """The first frame of a session."""

    def text(self) -> str:
        return "o"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Keeps proxies from closing what is silent."""

    def text(self) -> str:
        return "h"


@dataclass(frozen=True, slots=True)
class Messages:
    """One or more messages, in order."""

    messages: tuple[str, ...]

    def text(self) -> str:
        return f"a[{','.join(quoted(each) for each in self.messages)}]"


@dataclass(frozen=True, slots=True)
class Closed:
    """The last frame of a session, and why."""

    code: int
    reason: str

    def text(self) -> str:
        return f"c[{self.code},{quoted(self.reason)}]"


Frame = Opened | Heartbeat | Messages | Closed

ANOTHER_RECEIVER = Closed(2010, "Another connection still open")
INTERRUPTED = Closed(1002, "Connection interrupted")
"""The receiver's connection broke: what was on its way may be lost, so that the session cannot go on."""
NOT_RECEIVED = Closed(1002, "No client came to receive")
"""Only the application hears this: whoever might be told did not come."""


class PayloadExpected(InvalidInput):
    """Nothing was sent."""

    def __init__(self) -> None:
        super().__init__("Payload expected.")


class BrokenEncoding(InvalidInput):
    """What was sent is not a JSON list of strings."""

    def __init__(self) -> None:
        super().__init__("Broken JSON encoding.")


class ConnectionClosed(KsnapError):
    """The session is over, for both sides."""

    def __init__(self, closed: Closed) -> None:
        super().__init__("The connection is closed", details=closed.reason)
        self.closed = closed


# Beside the control characters, which JSON escapes anyway: those that browsers change on the way (JSONEncoding), and
# halves of surrogate pairs, which UTF-8 cannot carry. What is outside the first plane needs no escape.
_FRAGILE = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False).encode


def quoted(text: str) -> str:
    """A JSON string that arrives as it is through every transport."""
    encoded = _encode(text)
    return encoded if encoded.isascii() else _FRAGILE.sub(_escape, encoded)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def messages_of(payload: str | bytes, *, may_be_one: bool = False) -> list[str]:
    """What a client sent; `may_be_one` for a single JSON string in the list's place.

    A message may hold half a surrogate pair, as strings of JavaScript may.
    """
    if not payload:
        raise PayloadExpected
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise BrokenEncoding from None
    if may_be_one and isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BrokenEncoding
    return value


def size_bytes(text: str) -> int:
    """What it weighs in UTF-8, halves of pairs included."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
