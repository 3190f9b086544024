"""Kubeconfigs: the current context's own data, and nothing that runs a command or reads a file."""

import base64

import pytest
import yaml

from ksnap.errors import InvalidInput
from ksnap.kube.kubeconfig import parse_kubeconfig


def text(cluster: dict[str, object] | None = None, user: dict[str, object] | None = None, current: str = "c") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": current,
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://api.example:6443", **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {"token": "t0ken"}}],
        }
    )


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def test_the_current_context_is_read() -> None:
    found = parse_kubeconfig(text({"certificate-authority-data": encoded("CA")}))
    assert (found.server, found.ca_pem, found.token.get_secret_value()) == ("https://api.example:6443", "CA", "t0ken")


def test_a_client_certificate_is_read_and_its_key_is_not_shown() -> None:
    user: dict[str, object] = {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY")}
    found = parse_kubeconfig(text(user=user))
    assert (found.client_certificate_pem, found.client_key_pem.get_secret_value()) == ("CERT", "KEY")
    assert "KEY" not in repr(found)


@pytest.mark.parametrize(
    ("cluster", "user", "word"),
    [
        ({}, {"exec": {"command": "sh"}}, "exec"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({}, {"tokenFile": "/etc/passwd"}, "tokenFile"),
        ({}, {"client-key": "/etc/shadow"}, "client-key"),
        ({"certificate-authority": "/etc/ca.pem"}, {}, "certificate-authority"),
        ({"proxy-url": "http://proxy"}, {}, "proxy-url"),
        ({"certificate-authority-data": "%%%"}, {}, "certificate-authority-data"),
    ],
)
def test_what_would_act_on_the_server_is_refused(
    cluster: dict[str, object], user: dict[str, object], word: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_kubeconfig(text(cluster, user or None))
    assert word in caught.value.details


@pytest.mark.parametrize("bad", ["", "- a", "{", "a: b", "clusters: [x]\n", text(current="other"), "\x00"])
def test_what_is_no_kubeconfig_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        parse_kubeconfig(bad)


@pytest.mark.parametrize(
    "scalar", ["!!int ''", "!!float ''", "!!bool foo", "!!timestamp foo", "!!timestamp 2001-99-99"]
)
def test_a_scalar_that_yaml_cannot_make_a_value_of_is_refused(scalar: str) -> None:
    with pytest.raises(InvalidInput):
        parse_kubeconfig(f"{text()}\nextra: {scalar}\n")


def test_the_line_break_after_a_block_scalar_is_no_part_of_the_token() -> None:
    assert parse_kubeconfig(text(user={"token": "t0ken\n"})).token.get_secret_value() == "t0ken"


@pytest.mark.parametrize(
    ("cluster", "user", "word"),
    [
        ({}, {"token": "two\nlines"}, "token"),
        ({}, {"token": "a\0b"}, "token"),
        ({}, {"token": "a\rb"}, "token"),
        ({}, {"token": "a b"}, "token"),
        ({}, {"username": "ann", "password": "\ud800"}, "password"),
        ({"tls-server-name": "a..b"}, {}, "tls-server-name"),
        ({"tls-server-name": "a\0b"}, {}, "tls-server-name"),
    ],
)
def test_what_no_request_can_carry_is_refused(cluster: dict[str, object], user: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_kubeconfig(text(cluster, user or None))
    assert word in caught.value.details
