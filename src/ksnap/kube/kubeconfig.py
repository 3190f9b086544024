"""Reads a kubeconfig's current context, strictly: what would run a command or read a file on the server is refused.

kubernetes-asyncio's loader is not used here: it runs `exec` plugins, follows file references, keeps the private key in
a temporary file until the process ends, and its import alone takes longer than the rest of the server's.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import SecretStr

from ksnap.errors import InvalidInput
from ksnap.kube.cluster_config import NO_SECRET

_COMMANDS = ("exec", "auth-provider")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_NONE: Mapping[str, Any] = {}
# PyYAML makes typed values of scalars without a look at them first: `!!bool foo` comes out as a KeyError.
_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The current context: where its server is, what to trust, and who we are there."""

    server: str
    ca_pem: str = ""
    tls_server_name: str = ""
    client_certificate_pem: str = ""
    client_key_pem: SecretStr = NO_SECRET
    token: SecretStr = NO_SECRET
    username: str = ""
    password: SecretStr = NO_SECRET


def parse_kubeconfig(text: str) -> Kubeconfig:
    """The current context of a kubeconfig, or InvalidInput that says which part of it cannot be used."""
    document = _document(text)
    context = _entry(document, "contexts", "context", document.get("current-context"))
    cluster = _entry(document, "clusters", "cluster", context.get("cluster"))
    user = _entry(document, "users", "user", context.get("user"))
    _refuse(cluster)
    _refuse(user)
    return Kubeconfig(
        server=_text(cluster, "server"),
        ca_pem=_pem(cluster, "certificate-authority-data"),
        tls_server_name=_host_name(cluster, "tls-server-name"),
        client_certificate_pem=_pem(user, "client-certificate-data"),
        client_key_pem=SecretStr(_pem(user, "client-key-data")),
        token=SecretStr(_token(user)),
        username=_text(user, "username"),
        password=SecretStr(_text(user, "password")),
    )


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        # PyYAML makes typed values of scalars without a look at them first: `!!bool foo` comes out as a KeyError.
        raise _unusable("it is not YAML") from error
    if not isinstance(document, dict) or not document.get("clusters"):
        raise _unusable("it has no clusters")
    if not document.get("current-context"):
        raise _unusable("it has no current-context", hint="Choose one: kubectl config use-context NAME")
    return document


def _entry(document: Mapping[str, Any], group: str, kind: str, name: object) -> Mapping[str, Any]:
    entries = document.get(group)
    for each in entries if isinstance(entries, list) else []:
        if isinstance(each, dict) and each.get("name") == name and isinstance(each.get(kind), dict):
            found: Mapping[str, Any] = each[kind]
            return found
    raise _unusable(f"its current context names a {kind} that is not there")


def _refuse(part: Mapping[str, Any]) -> None:
    for field in _COMMANDS:
        if part.get(field):
            raise _unusable(
                f"{field} would run a command on the server",
                hint="Use a service account's token, or a kubeconfig with a client certificate in it",
            )
    for field in _FILES:
        if part.get(field):
            raise _unusable(
                f"{field} names a file, which the server does not have",
                hint="Write the files' contents into it: kubectl config view --raw --flatten --minify",
            )
    if part.get("proxy-url"):
        raise _unusable("proxy-url is not supported", hint="Give the server a direct route to the API server")


def _pem(part: Mapping[str, Any], field: str) -> str:
    try:
        return base64.b64decode(_text(part, field), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _unusable(f"{field} is not base64 of PEM") from error


def _text(part: Mapping[str, Any], field: str) -> str:
    value = part.get(field) or ""
    if not isinstance(value, str):
        raise _unusable(f"{field} is not a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _unusable(f"{field} holds what is no character") from error
    return "".join(value.split()) if field.endswith("-data") else value


def _token(user: Mapping[str, Any]) -> str:
    """A block scalar ends with a line break that is not part of the token."""
    token = _text(user, "token").strip()
    if not is_bearer_token(token):
        raise _unusable("token holds white space or control characters", hint="Give the token alone, on one line")
    return token


def is_bearer_token(text: str) -> bool:
    """Whether a header `Authorization: Bearer ...` can carry it."""
    return text.isprintable() and " " not in text


def _host_name(part: Mapping[str, Any], field: str) -> str:
    name = _text(part, field)
    try:
        usable = name.isprintable() and (not name or bool(name.encode("idna")))
    except UnicodeError:
        usable = False
    if not usable:
        raise _unusable(f"{field} is no host name")
    return name


def _unusable(why: str, *, hint: str = "") -> InvalidInput:
    return InvalidInput("The kubeconfig cannot be used", details=why, hint=hint)
