"""Lines of the restore socket: what the contract shows is understood, anything else is refused and nothing worse."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.agent.restore_messages import (
    RESTORE_LINE,
    EndReport,
    OutcomeReport,
    Prepared,
    PrepareRequest,
    Reason,
    Refusal,
)
from tests.parties.restore_socket import ended_line, outcome_line, prepare_line

IMAGE = f"registry:5000/shop/web@sha256:{'1' * 64}"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_contracts_lines_are_understood() -> None:
    prepare = RESTORE_LINE.validate_python(prepare_line(IMAGE, later="ignored"))
    assert isinstance(prepare, PrepareRequest)
    assert (prepare.namespace, prepare.pod, prepare.container, prepare.image) == ("shop", "web-1", "app", IMAGE)
    outcome = RESTORE_LINE.validate_python(outcome_line(IMAGE, restored=False, reason="RestoreFailed", message="m"))
    assert isinstance(outcome, OutcomeReport)
    assert (outcome.reason, outcome.criu_ms, outcome.total_ms) == (Reason.RESTORE_FAILED, 300, 340)
    ended = RESTORE_LINE.validate_python(ended_line(IMAGE, lived_ms=86_400_000 * 400, signalled=True))
    assert isinstance(ended, EndReport)
    assert (ended.lived_ms, ended.signalled) == (86_400_000 * 400, True)


@pytest.mark.parametrize("lived_ms", [-1, "NaN", "Infinity", None])
def test_life_that_is_none_is_refused(lived_ms: object) -> None:
    with pytest.raises(ValueError, match="lived_ms"):
        RESTORE_LINE.validate_python({**ended_line(IMAGE, lived_ms=0), "lived_ms": lived_ms})


def test_answers_are_the_contracts() -> None:
    assert json.loads(Prepared(path="/p", fetch_ms=1, unpack_ms=2).model_dump_json()) == {
        "ready": True,
        "path": "/p",
        "fetch_ms": 1,
        "unpack_ms": 2,
    }
    refusal = Refusal(reason=Reason.NOT_PERMITTED, message="m").model_dump_json()
    assert json.loads(refusal) == {"ready": False, "reason": "NotPermitted", "message": "m"}


@given(JSON)
def test_any_other_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        RESTORE_LINE.validate_python(value)


@given(st.sampled_from(sorted(prepare_line(IMAGE))), JSON)
def test_one_field_of_another_kind_is_refused_or_fits(name: str, value: object) -> None:
    line = {**prepare_line(IMAGE), name: value}
    try:
        message = RESTORE_LINE.validate_python(line)
    except ValueError:
        return
    assert isinstance(message, PrepareRequest)
    assert message.namespace.isascii()
    assert "/" not in message.namespace + message.pod + message.container + message.container_id
    assert "\n" not in message.namespace + message.pod + message.container + message.container_id


def test_the_guide_explains_every_reason() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/runtime-class.md").read_text()
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    explained = {word.strip(" `") for row in rows for word in row.split(",")}
    assert {each.value for each in Reason} <= explained
