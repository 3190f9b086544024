"""Which account of a pod's pull secrets is for an image."""

import base64
import json
from typing import Any

import pytest

from ksnap.agent.pull_accounts import accounts_of
from ksnap.kube.secrets import pull_secret
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess

IMAGE = ImageRef("reg.example:5000", "team/snap/web", digest=parse_digest("sha256:" + "a" * 64))


def secret(auths: object) -> dict[str, Any]:
    text = json.dumps({"auths": auths})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


def found(content: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(length, user, password.get_secret_value()) for length, user, password in accounts_of(content, IMAGE)]


def auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


@pytest.mark.parametrize(
    "place",
    ["reg.example:5000", "https://reg.example:5000", "http://reg.example:5000/", "https://reg.example:5000/v1/",
     "reg.example:5000/team", "reg.example:5000/team/snap/web"],
)  # fmt: skip
def test_an_account_is_for_its_host_and_path(place: str) -> None:
    [(_, user, password)] = found(secret({place: auth("me:se:cret")}))
    assert (user, password) == ("me", "se:cret")


@pytest.mark.parametrize(
    "place", ["reg.example", "other:5000", "reg.example:5000/tea", "reg.example:5000/team/snap/web/x"]
)
def test_it_is_for_no_other(place: str) -> None:
    assert found(secret({place: auth("me:secret")})) == []


def test_the_longer_path_tells_itself() -> None:
    entries = {"reg.example:5000": auth("all:1"), "reg.example:5000/team": auth("team:2")}
    assert sorted(found(secret(entries)), reverse=True) == [(4, "team", "2"), (0, "all", "1")]


def test_user_and_password_may_stand_apart() -> None:
    assert found(secret({"reg.example:5000": {"username": "me", "password": "x"}})) == [(0, "me", "x")]


def test_what_our_server_writes_is_understood() -> None:
    access = RegistryAccess(host=IMAGE.host, username="me", password="x")
    assert found(pull_secret("p", [access], labels={})) == [(0, "me", "x")]


@pytest.mark.parametrize(
    "content",
    [{}, {"data": None}, {"data": {".dockerconfigjson": "!"}}, {"data": {".dockerconfigjson": "bnVsbA=="}}, secret([]),
     secret({"reg.example:5000": {"auth": "!"}}), secret({"reg.example:5000": []}), secret(None),
     secret({"reg.example:5000": auth("nocolon")}), secret({"reg.example:5000": {"identitytoken": "x"}})],
)  # fmt: skip
def test_garbage_is_no_account(content: dict[str, Any]) -> None:
    assert found(content) == []
