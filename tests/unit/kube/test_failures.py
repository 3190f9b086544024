"""The API server's refusals as errors that say who must act, and whether a second try is worth it."""

import json

import pytest

from ksnap.errors import AlreadyExists, ClusterConnectionFailed, Conflict, InvalidInput, KsnapError, NotFound
from ksnap.kube.failures import ClusterUnreachable, from_exception, from_status, is_status


def status(message: str = "", reason: str = "", kind: str = "") -> bytes:
    details = {"details": {"kind": kind}} if kind else {}
    return json.dumps({"kind": "Status", "message": message, "reason": reason, **details}).encode()


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (401, status(), ClusterConnectionFailed),
        (403, status("pods is forbidden"), ClusterConnectionFailed),
        (404, status("no", kind="namespaces"), NotFound),
        (409, status(reason="AlreadyExists"), AlreadyExists),
        (409, status(reason="Conflict"), Conflict),
        (422, status("spec is wrong"), InvalidInput),
        (429, status(), ClusterUnreachable),
        (503, b"<html>gateway</html>", ClusterUnreachable),
    ],
)
def test_each_status_has_its_class(code: int, body: bytes, expected: type[KsnapError]) -> None:
    error = from_status(code, body, "prod", "pod shop/cart")
    assert type(error) is expected
    assert "pod shop/cart in cluster prod" in error.details


def test_what_is_missing_is_what_the_server_says() -> None:
    assert from_status(404, status(kind="namespaces"), "prod", "pod shop/cart").message == "Namespace not found"
    assert from_status(404, b"", "prod", "pod shop/cart").message == "Pod not found"


def test_a_foreign_body_is_not_repeated() -> None:
    assert "secret" not in from_status(500, b'{"message": "secret"}', "prod", "pod").details
    assert not is_status(b'{"success": false, "error": "x"}')


def test_a_time_out_may_pass() -> None:
    assert isinstance(from_exception(TimeoutError(), "prod"), ClusterUnreachable)
    assert isinstance(from_exception(ConnectionRefusedError("no"), "prod"), ClusterUnreachable)
