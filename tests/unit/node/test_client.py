"""An agent's envelope becomes the error that it was there."""

import json

import pytest

from ksnap.errors import CheckpointFailed, CheckpointTimedOut, ClusterConnectionFailed, Conflict, KsnapError
from ksnap.node.client import agent_error


def envelope(code: str, details: str = "d") -> bytes:
    return json.dumps({"success": False, "error": "failed", "details": details, "code": code}).encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "CONFLICT", Conflict),
        (502, "CHECKPOINT_FAILED", CheckpointFailed),
        (504, "CHECKPOINT_FAILED", CheckpointTimedOut),
        (500, "OF_A_LATER_VERSION", KsnapError),
    ],
)
def test_error_keeps_its_class_and_words(status: int, code: str, kind: type[KsnapError]) -> None:
    error = agent_error(status, envelope(code))

    assert type(error) is kind
    assert (error.message, error.details) == ("failed", "d")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"'])
def test_what_is_no_envelope_is_no_agent(body: bytes) -> None:
    assert type(agent_error(502, body)) is ClusterConnectionFailed


def test_long_details_are_cut() -> None:
    assert len(agent_error(500, envelope("X", "d" * 100_000)).details) == 8000
