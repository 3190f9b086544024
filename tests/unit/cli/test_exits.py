"""Exit codes and the text of errors: what scripts branch on and people read."""

import pytest

from ksnap.cli.exits import MEANINGS, Exit, error_text, exit_for_code
from ksnap.errors import ClusterNotFound, KsnapError, NotAuthenticated


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("VALIDATION_ERROR", 2),
        ("AUTHENTICATION_FAILED", 3),
        ("PERMISSION_DENIED", 4),
        ("NOT_FOUND", 5),
        ("CLUSTER_NOT_FOUND", 5),
        ("ALREADY_EXISTS", 6),
        ("CONFLICT", 6),
        ("CLUSTER_CONNECTION_FAILED", 7),
        ("REGISTRY_CONNECTION_FAILED", 7),
        ("SERVICE_UNAVAILABLE", 7),
        ("CHECKPOINT_FAILED", 1),
        ("IMAGE_PUSH_FAILED", 1),
        ("RATE_LIMIT_EXCEEDED", 1),
        ("INTERNAL_ERROR", 1),
        ("SOMETHING_NEWER", 1),
    ],
)
def test_each_error_code_has_its_exit_code(code: str, expected: int) -> None:
    assert exit_for_code(code) == expected


def test_each_exit_code_is_explained() -> None:
    assert set(MEANINGS) == set(Exit)


def test_an_error_reads_message_details_hint() -> None:
    error = ClusterNotFound("Cluster not found", details="no cluster named 'prod'\nat all", hint="Add it")
    assert error_text(error) == (
        "error: Cluster not found (CLUSTER_NOT_FOUND)\n  no cluster named 'prod'\n  at all\nhint: Add it"
    )
    assert error_text(KsnapError("It broke", output="a\nb", hint="Mend it")) == (
        "error: It broke (INTERNAL_ERROR)\n  it wrote:\n  a\n  b\nhint: Mend it"
    )
    assert error_text(KsnapError("It broke")) == "error: It broke (INTERNAL_ERROR)"


def test_a_refused_login_says_how_to_log_in() -> None:
    assert error_text(NotAuthenticated("No")).endswith("hint: Log in with: ksnap login")
    assert error_text(NotAuthenticated("No", hint="Ask Anna")).endswith("hint: Ask Anna")
