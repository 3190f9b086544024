"""Which address below the prefix is what, and by which methods (sockjs-protocol, "Static URLs" and "Session URLs")."""

import re
from dataclasses import dataclass
from enum import Enum


class Place(Enum):
    """What an address is for."""

    GREETING = "greeting"
    INFO = "info"
    IFRAME = "iframe"
    LIBRARY = "library"
    RAW_WEBSOCKET = "raw_websocket"
    WEBSOCKET = "websocket"
    XHR = "xhr"
    XHR_SEND = "xhr_send"
    XHR_STREAMING = "xhr_streaming"
    EVENTSOURCE = "eventsource"
    HTMLFILE = "htmlfile"
    JSONP = "jsonp"
    JSONP_SEND = "jsonp_send"


LIBRARY_NAME = "sockjs.min.js"
_GET = ("GET", "HEAD")
METHODS = {
    Place.GREETING: _GET,
    Place.INFO: ("OPTIONS", "GET"),
    Place.IFRAME: _GET,
    Place.LIBRARY: _GET,
    Place.RAW_WEBSOCKET: ("GET",),
    Place.WEBSOCKET: ("GET",),
    Place.XHR: ("OPTIONS", "POST"),
    Place.XHR_SEND: ("OPTIONS", "POST"),
    Place.XHR_STREAMING: ("OPTIONS", "POST"),
    Place.EVENTSOURCE: ("GET",),
    Place.HTMLFILE: ("GET",),
    Place.JSONP: ("OPTIONS", "GET"),
    Place.JSONP_SEND: ("POST",),
}

_STATIC = {
    "": Place.GREETING,
    "/": Place.GREETING,
    "/info": Place.INFO,
    "/websocket": Place.RAW_WEBSOCKET,
    f"/{LIBRARY_NAME}": Place.LIBRARY,
}
_IFRAME = re.compile(r"/iframe[0-9-.a-z_]*\.html")
# The server's part is for load balancers: a session is known by its own alone.
_SESSION = re.compile(r"/[^/.]+/(?P<session>[^/.]+)/(?P<transport>[a-z_]+)")
_OF_SESSION = {
    each.value: each
    for each in (
        Place.WEBSOCKET,
        Place.XHR,
        Place.XHR_SEND,
        Place.XHR_STREAMING,
        Place.EVENTSOURCE,
        Place.HTMLFILE,
        Place.JSONP,
        Place.JSONP_SEND,
    )
}


@dataclass(frozen=True, slots=True)
class Address:
    """A place, and the session's id where it has one."""

    place: Place
    session: str = ""


def parse_path(path: str) -> Address | None:
    """The address of a path below the prefix; None if there is nothing."""
    if path in _STATIC:
        return Address(_STATIC[path])
    if _IFRAME.fullmatch(path):
        return Address(Place.IFRAME)
    found = _SESSION.fullmatch(path)
    place = _OF_SESSION.get(found["transport"]) if found else None
    return Address(place, found["session"]) if found and place else None
