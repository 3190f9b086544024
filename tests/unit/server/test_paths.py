"""Which paths are whose, and how logs show them."""

import pytest

from ksnap.server.paths import is_sockjs, shown


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("/api/sockjs", True),
        ("/api/sockjs/", True),
        ("/api/sockjs/0/a/xhr", True),
        ("/api/sockjsx", False),
        ("/api/v1/sockjs", False),
        ("/x/api/sockjs/", False),
    ],
)
def test_sockjs(path: str, *, theirs: bool) -> None:
    assert is_sockjs(path) == theirs


@pytest.mark.parametrize(
    ("path", "as_shown"),
    [
        ("/api/sockjs/000/secret/xhr_send", "/api/sockjs/-/-/xhr_send"),
        ("/api/sockjs/a%20b/secret/", "/api/sockjs/-/-/"),
        ("/api/sockjs/info", "/api/sockjs/info"),
        ("/api/v1/pod/a/b", "/api/v1/pod/a/b"),
        ("/" + "x" * 400, "/" + "x" * 299),
    ],
)
def test_logs_show_no_session(path: str, as_shown: str) -> None:
    assert shown(path) == as_shown
