"""Which paths belong to the dashboard (contract dashboard-api, section 14), with other callers and errors."""

import re

_DASHBOARD = re.compile(
    r"/api/v1(/.*)?"
    r"|/clusters/[^/]+/api/v1(/.*)?"
    r"|/settings(/.*)?|/config/?|/systembanner/?",
    re.DOTALL,  # a path may hold whatever was percent-encoded
)
_SOCKJS = re.compile(r"/api/sockjs(/.*)?", re.DOTALL)


def is_dashboard(path: str) -> bool:
    """Whether the dashboard's rules hold."""
    return _DASHBOARD.fullmatch(path) is not None


def is_sockjs(path: str) -> bool:
    """SockJS: long polls that need no token, since what they carry proves itself."""
    return _SOCKJS.fullmatch(path) is not None
