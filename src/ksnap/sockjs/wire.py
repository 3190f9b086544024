"""How each transport that receives over HTTP writes frames down (sockjs-protocol, a section per transport).

A polling answer holds one frame; a streaming one begins with something that makes browsers look, and goes on until
enough has been sent: browsers keep all of it in memory until it ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ksnap.errors import InvalidInput, KsnapError
from ksnap.sockjs.frames import Closed, Frame, quoted
from ksnap.sockjs.paths import Place

_CALLBACK = re.compile(r"[A-Za-z0-9_.]+")
CALLBACK_LIMIT = 128
"""sockjs-client's have some fifteen characters."""


_REASON_BYTES = 123  # RFC 6455, 5.5.1


class CallbackMissing(KsnapError):
    """A script needs a function's name."""

    def __init__(self) -> None:
        super().__init__('"callback" parameter required')


class CallbackInvalid(InvalidInput):
    """Nothing but a name may be called."""

    status = 400

    def __init__(self) -> None:
        super().__init__('invalid "callback" parameter')


@dataclass(frozen=True, slots=True)
class Wire:
    """One transport's answer."""

    content_type: str
    encode: Callable[[Frame], bytes]
    prelude: bytes = b""
    streams: bool = False


def wire_of(place: Place, callback: str | None) -> Wire:
    """The wire of a receiving transport; `callback` is the query's `c`."""
    match place:
        case Place.XHR:
            return Wire("application/javascript; charset=UTF-8", _line)
        case Place.XHR_STREAMING:
            return Wire("application/javascript; charset=UTF-8", _line, b"h" * 2048 + b"\n", streams=True)
        case Place.EVENTSOURCE:
            return Wire("text/event-stream; charset=UTF-8", _event, b"\r\n", streams=True)
        case Place.HTMLFILE:
            return Wire("text/html; charset=UTF-8", _script, _html_head(_name(callback)), streams=True)
        case Place.JSONP:
            name = _name(callback)
            return Wire("application/javascript; charset=UTF-8", lambda frame: _call(name, frame))
        case _:
            raise ValueError(f"{place} receives nothing over HTTP")


def websocket_close(closed: Closed) -> tuple[int, str]:
    """The same end as a WebSocket says it: an application's codes from 4000 on, at most 123 bytes of reason."""
    code = closed.code if closed.code == 1000 or 3000 <= closed.code < 5000 else 4000 + closed.code % 1000
    reason = raw_text(closed.reason).encode()[:_REASON_BYTES].decode("utf-8", "ignore")
    return code, reason


def raw_text(message: str) -> str:
    """A message without a frame: half a surrogate pair, which UTF-8 cannot carry, becomes U+FFFD."""
    return message if message.isascii() else message.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _name(callback: str | None) -> str:
    if not callback:
        raise CallbackMissing
    if len(callback) > CALLBACK_LIMIT or not _CALLBACK.fullmatch(callback):
        raise CallbackInvalid
    return callback


def _line(frame: Frame) -> bytes:
    return f"{frame.text()}\n".encode()


def _event(frame: Frame) -> bytes:
    # sockjs-client decodes the data as a URL before it reads the JSON. A `%` stands in strings alone, where JSON has
    # another way to write it, which means the same to a client that decodes and to one that does not.
    text = frame.text().replace("%", "\\u0025")
    return f"data: {text}\r\n\r\n".encode()


def _script(frame: Frame) -> bytes:
    # No message may end the script, or begin what a browser takes for a comment.
    text = quoted(frame.text()).replace("<", "\\u003c")
    return f"<script>\np({text});\n</script>\r\n".encode()


def _call(name: str, frame: Frame) -> bytes:
    return f"{name}({quoted(frame.text())});\r\n".encode()


# Browsers begin to show, and so to run, a page once its first kilobyte has come.
_HTML_HEAD_BYTES = 1024
_HTML_HEAD = """\
<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


def _html_head(callback: str) -> bytes:
    head = (_HTML_HEAD % callback).encode()
    return head + b" " * (_HTML_HEAD_BYTES + 1 - len(head)) + b"\r\n\r\n"
