"""Which paths belong to the dashboard (contract dashboard-api, section 14), with other callers and errors."""

import re

_DASHBOARD = re.compile(
    r"/api/v1(/.*)?"
    r"|/clusters/[^/]+/api/v1(/.*)?"
    r"|/settings(/.*)?|/config/?|/systembanner/?",
    re.DOTALL,  # a path may hold whatever was percent-encoded
)
SOCKJS = "/api/sockjs"
_SOCKJS = re.compile(rf"{SOCKJS}(/.*)?", re.DOTALL)
_SOCKJS_SESSION = re.compile(rf"({SOCKJS}/)[^/]*/[^/]*(/[a-z_]*)", re.DOTALL)
_SHOWN = 300


def is_dashboard(path: str) -> bool:
    """Whether the dashboard's rules hold."""
    return _DASHBOARD.fullmatch(path) is not None


def is_sockjs(path: str) -> bool:
    """SockJS: long polls that need no token, since what they carry proves itself. It answers CORS itself, too."""
    return _SOCKJS.fullmatch(path) is not None


def shown(path: str) -> str:
    """A path as logs may have it: without a SockJS session's id, which is all that it takes to speak in its name."""
    return _SOCKJS_SESSION.sub(r"\1-/-\2", path)[:_SHOWN]
