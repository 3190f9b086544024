"""The messages of a terminal (contract, 9.2): one JSON object each, its five keys capitalised exactly so. Pure.

What a message does not need is ignored: the Dashboard's page sends a size with every key that is typed.
"""

import json
from dataclasses import dataclass

MESSAGE_LIMIT = 1 << 20
SIZE_LIMIT = 65535
"""The kernel keeps a terminal's size in 16 bits."""


class BadMessage(Exception):
    """Not a message of the protocol; the text says why, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Bind:
    session_id: str


@dataclass(frozen=True, slots=True)
class Stdin:
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    rows: int
    cols: int


def parse(text: str) -> Bind | Stdin | Resize:
    """One message of a client, or BadMessage."""
    if len(text) > MESSAGE_LIMIT:
        raise BadMessage("the message is longer than 1 MiB")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("the message is not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("the message is no object")
    match message.get("Op"):
        case "bind":
            return Bind(_text(message, "SessionID"))
        case "stdin":
            return Stdin(_bytes(_text(message, "Data")))
        case "resize":
            return Resize(_size(message, "Rows"), _size(message, "Cols"))
        case _:
            raise BadMessage("the operation is not known")


def stdout(data: str) -> str:
    """Output of the terminal."""
    return _message("stdout", data)


def toast(text: str) -> str:
    """A notice beside the terminal."""
    return _message("toast", text)


def _message(operation: str, data: str) -> str:
    message = {"Op": operation, "Data": data, "SessionID": "", "Rows": 0, "Cols": 0}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _text(message: dict[str, object], key: str) -> str:
    value = message.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadMessage(f"{key} is no text")
    return value


def _bytes(text: str) -> bytes:
    """As UTF-8. Half of a surrogate pair, which JSON can write, is no character: it becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Through UTF-16 and back, halves that stand side by side are one character after all.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _size(message: dict[str, object], key: str) -> int:
    value = message.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SIZE_LIMIT:
        raise BadMessage(f"{key} is no number from 0 to {SIZE_LIMIT}")
    return value
