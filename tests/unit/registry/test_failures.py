"""Answers and exceptions as errors that say what to do."""

import json

import pytest

from ksnap.errors import ImagePushFailed, KsnapError, NotFound, RegistryConnectionFailed
from ksnap.registry.failures import ConnectionLost, interrupted, refused, unreachable


def body(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("status", "content", "kind", "says"),
    [
        (401, body("UNAUTHORIZED", "authentication required"), RegistryConnectionFailed, "refused the credentials"),
        (403, body("DENIED", "requested access is denied"), ImagePushFailed, "right to pull, push and delete"),
        (403, body("DENIED", "quota exceeded"), ImagePushFailed, "quota"),
        (404, body("NAME_UNKNOWN", "project x not found"), NotFound, "project x not found"),
        (413, b"<html>", ImagePushFailed, "proxy in front"),
        (429, b"", ConnectionLost, "limits requests"),
        (500, body("UNKNOWN", "write /data: no space left on device"), ImagePushFailed, "no space left"),
        (507, b"", ImagePushFailed, "Free space"),
        (503, b"busy", ConnectionLost, "HTTP 503"),
    ],
)
def test_refusals(status: int, content: bytes, kind: type[KsnapError], says: str) -> None:
    error = refused("registry.test", "snap/x", status, content)
    assert type(error) is kind
    assert says in f"{error.message} {error.explanation}"
    assert "registry.test" in error.message


def test_a_full_registry_is_not_tried_again() -> None:
    assert not isinstance(refused("r", "x", 500, b"no space left on device"), ConnectionLost)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"errors": 5}', b'{"errors": [5]}', b"\xff" * 900, b'"x"'])
def test_strange_bodies_do_no_harm(content: bytes) -> None:
    assert len(refused("r", "x", 400, content).details) < 400


def test_silence_and_drops_differ() -> None:
    silence, drop = interrupted("r", "x", TimeoutError()), interrupted("r", "x", ConnectionResetError("reset"))
    assert "stopped answering" in silence.message
    assert not isinstance(silence, ConnectionLost)
    assert isinstance(drop, ConnectionLost)
    assert "r/x" in drop.details


def test_unreachable_by_timeout() -> None:
    assert "does not answer" in unreachable("r", TimeoutError()).message
