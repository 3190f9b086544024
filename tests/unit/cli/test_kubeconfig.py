"""The kubeconfig that leaves this machine: one context, no references, no programs. Formats: clientcmd/api/v1."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ksnap.cli.kubeconfig import portable
from ksnap.errors import InvalidInput
from ksnap.kube.kubeconfig import parse_kubeconfig

FOLDER = Path("/home/someone/.kube")


def no_file(path: Path) -> bytes:
    raise FileNotFoundError(2, "No such file or directory")


def config(**parts: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "shop"}},
            {"name": "two", "context": {"cluster": "c2", "user": "u2"}},
        ],
        "clusters": [
            {"name": "c1", "cluster": {"server": "https://one:6443"} | parts.get("cluster", {})},
            {"name": "c2", "cluster": {"server": "https://two:6443"}},
        ],
        "users": [
            {"name": "u1", "user": parts.get("user", {"token": "token-one"})},
            {"name": "u2", "user": {"token": "token-two"}},
        ],
    }


def carried(content: dict[str, Any], context: str | None = None, read: Any = no_file) -> dict[str, Any]:
    made = portable(yaml.safe_dump(content).encode(), folder=FOLDER, context=context, read=read)
    return dict(json.loads(made.content))


def test_only_the_current_context_travels() -> None:
    made = portable(yaml.safe_dump(config()).encode(), folder=FOLDER, context=None, read=no_file)
    assert made.api_server_url == "https://one:6443"
    assert b"token-one" in made.content
    assert b"token-two" not in made.content


def test_a_named_context_is_taken_instead() -> None:
    made = portable(yaml.safe_dump(config()).encode(), folder=FOLDER, context="two", read=no_file)
    assert made.api_server_url == "https://two:6443"
    assert b"token-one" not in made.content


def test_files_become_data_relative_to_the_kubeconfig() -> None:
    files = {FOLDER / "pki/ca.crt": b"CA", Path("/abs/me.crt"): b"CERT", FOLDER / "me.key": b"KEY"}
    user = {"client-certificate": "/abs/me.crt", "client-key": "me.key"}
    made = carried(config(cluster={"certificate-authority": "pki/ca.crt"}, user=user), read=files.__getitem__)
    assert base64.b64decode(made["clusters"][0]["cluster"]["certificate-authority-data"]) == b"CA"
    assert base64.b64decode(made["users"][0]["user"]["client-certificate-data"]) == b"CERT"
    assert base64.b64decode(made["users"][0]["user"]["client-key-data"]) == b"KEY"
    assert "certificate-authority" not in made["clusters"][0]["cluster"]
    assert not {"client-certificate", "client-key"} & set(made["users"][0]["user"])


def test_data_wins_over_a_file_as_in_client_go() -> None:
    data = base64.b64encode(b"DATA").decode()
    made = carried(config(cluster={"certificate-authority": "gone.crt", "certificate-authority-data": data}))
    assert made["clusters"][0]["cluster"] == {"server": "https://one:6443", "certificate-authority-data": data}


def test_a_token_file_wins_over_a_token_and_loses_its_line_end() -> None:
    made = carried(config(user={"token": "old", "tokenFile": "token"}), read={FOLDER / "token": b"new\n"}.__getitem__)
    assert made["users"][0]["user"] == {"token": "new"}


@pytest.mark.parametrize("plugin", ["exec", "auth-provider"])
def test_programs_are_refused_with_another_way(plugin: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        carried(config(user={plugin: {"command": "aws"}}))
    assert plugin in caught.value.message
    assert "create token" in caught.value.hint


def test_impersonation_is_refused() -> None:
    with pytest.raises(InvalidInput, match="acts as somebody else"):
        carried(config(user={"token": "t", "as": "somebody"}))


def test_skipped_verification_is_told() -> None:
    made = portable(
        yaml.safe_dump(config(cluster={"insecure-skip-tls-verify": True})).encode(),
        folder=FOLDER,
        context=None,
        read=no_file,
    )
    assert not made.verify_tls


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (config() | {"current-context": ""}, "has no current context"),
        (config() | {"current-context": "three"}, "no context 'three'"),
        (config() | {"users": []}, "no user 'u1'"),
        (config(user={}), "has no user|has no credentials"),
        (config(cluster={"server": "http://one"}), "no https URL"),
        ({"kind": "Pod"}, "Not a kubeconfig"),
        (config(user={"client-certificate": "gone.crt"}), "names a file that cannot be read"),
    ],
)
def test_what_cannot_be_used_says_why(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        carried(content)


def test_a_syntax_error_shows_the_place_and_not_the_text() -> None:
    with pytest.raises(InvalidInput) as caught:
        portable(b"users:\n- token: 'SECRET\n  x: [", folder=FOLDER, context=None, read=no_file)
    assert "line" in caught.value.details
    assert "SECRET" not in caught.value.explanation


@given(st.binary(max_size=200))
def test_any_bytes_are_a_kubeconfig_or_invalid_input(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        portable(text, folder=FOLDER, context=None, read=no_file)


def test_the_server_takes_what_is_made_here() -> None:
    made = portable(
        yaml.safe_dump(config(cluster={"certificate-authority": "ca"}, user={"tokenFile": "token"})).encode(),
        folder=FOLDER,
        context=None,
        read={FOLDER / "ca": b"-----BEGIN", FOLDER / "token": b"abc"}.__getitem__,
    )
    parsed = parse_kubeconfig(made.content.decode())
    assert (parsed.server, parsed.ca_pem, parsed.token.get_secret_value()) == ("https://one:6443", "-----BEGIN", "abc")
