"""Signing in, as a conversation of literals."""

import base64
import json

import pytest
from pydantic import SecretStr

from ksnap.errors import RegistryConnectionFailed
from ksnap.registry.auth import AuthFlow, Challenge, RegistryAuth, TokenRequest, TokenResponse, parse_challenge

BEARER = 'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:snap/x:pull,push"'
BASIC = "Basic " + base64.b64encode(b"me:se:cret").decode()


def auth(*, username: str = "me", secure: bool = True) -> RegistryAuth:
    return RegistryAuth(host="registry.test", secure=secure, username=username, password=SecretStr("se:cret"))


def asked(flow: AuthFlow) -> TokenRequest:
    return next(flow)


def ended(flow: AuthFlow, response: TokenResponse | None = None) -> str:
    with pytest.raises(StopIteration) as done:
        next(flow) if response is None else flow.send(response)
    header: str = done.value.value
    return header


def answer(known: RegistryAuth, *challenges: str, now: float = 0.0) -> AuthFlow:
    return known.answer(challenges, purpose="push:snap/x", scope="repository:snap/x:pull,push", now=now)


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ("Basic realm=test", Challenge("basic", {"realm": "test"})),
        ('BASIC realm="a, b"', Challenge("basic", {"realm": "a, b"})),
        ("Negotiate", Challenge("negotiate", {})),
        (
            'Bearer realm="https://a/t",scope="x \\"y\\""',
            Challenge("bearer", {"realm": "https://a/t", "scope": 'x "y"'}),
        ),
        ("", None),
        ("!!", None),
    ],
)
def test_challenges(header: str, parsed: Challenge | None) -> None:
    assert parse_challenge(header) == parsed


def test_basic_needs_no_request() -> None:
    known = auth()
    assert ended(answer(known, 'Basic realm="test"')) == BASIC
    assert known.header("push:snap/x", now=1e9) == BASIC


def test_bearer_asks_the_token_service_with_the_account() -> None:
    known = auth()
    flow = answer(known, BEARER, now=100)
    request = asked(flow)
    assert request.url == (
        "https://auth.test/token?service=registry.test&scope=repository%3Asnap%2Fx%3Apull%2Cpush&account=me"
    )
    assert request.headers == {"Authorization": BASIC}
    body = json.dumps({"token": "abc.def", "expires_in": 300}).encode()
    assert ended(flow, TokenResponse(200, body)) == "Bearer abc.def"
    assert known.header("push:snap/x", now=389) == "Bearer abc.def"
    assert known.header("push:snap/x", now=391) is None
    assert known.header("pull:snap/x", now=100) is None


def test_an_anonymous_token_is_asked_for_without_an_account() -> None:
    request = asked(answer(auth(username=""), BEARER))
    assert request.headers == {}
    assert "account" not in request.url


def test_a_challenge_without_scope_gets_ours_and_many_stand_apart() -> None:
    assert "scope=repository%3Asnap%2Fx%3Apull%2Cpush" in asked(answer(auth(), 'Bearer realm="https://a.test/t"')).url
    two = asked(answer(auth(), 'Bearer realm="https://a.test/t?x=1",scope="a:b:pull c:d:push"')).url
    assert two.startswith("https://a.test/t?x=1&scope=a%3Ab%3Apull&scope=c%3Ad%3Apush")


def test_bearer_is_preferred_to_basic() -> None:
    assert asked(answer(auth(), "Basic realm=x", BEARER)).url.startswith("https://auth.test/")


@pytest.mark.parametrize(
    "response",
    [
        TokenResponse(401, b"{}"),
        TokenResponse(302, b""),
        TokenResponse(200, b"<html>"),
        TokenResponse(200, b"[]"),
        TokenResponse(200, b"{}"),
        TokenResponse(200, b'{"token": 5}'),
        TokenResponse(200, b'{"token": "a\\r\\nX: y"}'),
    ],
)
def test_bad_token_answers_are_refusals(response: TokenResponse) -> None:
    flow = answer(auth(), BEARER)
    asked(flow)
    with pytest.raises(RegistryConnectionFailed, match=r"registry\.test refused the credentials") as caught:
        flow.send(response)
    assert "se:cret" not in str(caught.value) + caught.value.explanation


@pytest.mark.parametrize("realm", ["http://auth.test/token", "ftp://auth.test", "/token", "https:///token"])
def test_a_password_goes_to_https_token_services_alone(realm: str) -> None:
    with pytest.raises(RegistryConnectionFailed):
        next(answer(auth(), f'Bearer realm="{realm}"'))


def test_a_plain_registry_may_have_a_plain_token_service() -> None:
    assert asked(answer(auth(secure=False), 'Bearer realm="http://auth.test/token"')).url.startswith("http://auth.test")


def test_an_account_that_is_missing_is_said() -> None:
    with pytest.raises(RegistryConnectionFailed) as caught:
        next(answer(auth(username=""), "Basic realm=x"))
    assert "none is configured" in caught.value.details


def test_unknown_schemes_are_refused() -> None:
    for challenges in ([], ["Negotiate"], ["Bearer service=x"]):
        with pytest.raises(RegistryConnectionFailed):
            next(answer(auth(), *challenges))


def test_a_forgotten_token_is_not_used_again() -> None:
    known = auth()
    ended(answer(known, "Basic realm=x"))
    known.forget("push:snap/x")
    assert known.header("push:snap/x", now=0) is None


@pytest.mark.parametrize(("expires", "lives"), [(None, 50), (20, 10), (-5, 50), ("x", 50)])
def test_tokens_are_renewed_before_they_end(expires: object, lives: float) -> None:
    known = auth()
    flow = answer(known, BEARER)
    asked(flow)
    ended(flow, TokenResponse(200, json.dumps({"access_token": "t", "expires_in": expires}).encode()))
    assert known.header("push:snap/x", now=lives - 1) == "Bearer t"
    assert known.header("push:snap/x", now=lives + 1) is None
