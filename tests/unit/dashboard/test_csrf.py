"""Known answers of the contract (dashboard-api, section 18), and what a token is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.csrf import AHEAD_MS, LIFE_MS, action_of, is_valid, make_token, user_of

KEY = b"\x01" * 256
NOW = 1700000000000


@pytest.mark.parametrize(
    ("action", "token"),
    [
        ("login", "QuROsM52c4H2oUr-l9p4PBwVT6A:1700000000000"),
        ("namespace", "DQN3xow9-dROBfrHg3vppFwL7kM:1700000000000"),
    ],
)
def test_known_answers(action: str, token: str) -> None:
    assert make_token(KEY, action, NOW) == token
    assert is_valid(KEY, token, action, NOW)


def test_a_token_is_of_one_action_one_key_and_one_day() -> None:
    token = make_token(KEY, "login", NOW)
    assert not is_valid(KEY, token, "namespace", NOW)
    assert not is_valid(b"\x02" * 256, token, "login", NOW)
    assert is_valid(KEY, token, "login", NOW + LIFE_MS - 1)
    assert not is_valid(KEY, token, "login", NOW + LIFE_MS)
    assert is_valid(KEY, token, "login", NOW - AHEAD_MS)
    assert not is_valid(KEY, token, "login", NOW - AHEAD_MS - 1)


def test_a_token_of_one_user_is_worth_nothing_to_another() -> None:
    ann, bob = user_of("token of ann"), user_of("token of bob")
    token = make_token(KEY, "secret", NOW, ann)
    assert is_valid(KEY, token, "secret", NOW, ann)
    assert not is_valid(KEY, token, "secret", NOW, bob)
    assert not is_valid(KEY, token, "secret", NOW)
    assert is_valid(KEY, make_token(KEY, "secret", NOW), "secret", NOW, bob), "what anybody got is good for everybody"


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    assert not is_valid(KEY, text, "login", NOW)


def test_the_action_of_a_path() -> None:
    assert action_of("/api/v1/appdeploymentfromfile") == "appdeploymentfromfile"
    assert action_of("/clusters/prod/api/v1/namespace/") == "namespace"
    assert action_of("/config") == ""
