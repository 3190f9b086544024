"""What aiohttp raises and what registries answer, as errors of ours (contract, codes).

RegistryConnectionFailed: unreachable, TLS, credentials. ImagePushFailed: reachable, and it refused or lost what was
being done. NotFound: what was asked for is not there. The error codes are those of the distribution specification.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from ksnap.errors import ImagePushFailed, KsnapError, NotFound, RegistryConnectionFailed
from ksnap.model.backoff import TRANSIENT
from ksnap.registry.auth import credentials_refused


class ConnectionLost(ImagePushFailed):
    """The connection broke, or the registry was busy, in the middle: the same again may succeed."""


_STORAGE_FULL = re.compile(rb"no space left|insufficient storage|quota|disk (is )?full", re.IGNORECASE)
_MAX_DETAIL = 300


def unreachable(host: str, error: Exception) -> KsnapError:
    """Connecting failed: before any answer of the registry."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _tls(host, str(error.certificate_error))
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return _tls(host, str(error.__cause__ or error))
    if isinstance(error, aiohttp.ConnectionTimeoutError | TimeoutError):
        return RegistryConnectionFailed(
            f"Registry {host} does not answer",
            details="connecting timed out",
            hint="Check the registry's address, and that a firewall lets this machine through",
        )
    return RegistryConnectionFailed(
        f"Registry {host} cannot be reached",
        details=_reason(error),
        hint="Check the registry's address and that it runs",
    )


def interrupted(host: str, repository: str, error: Exception) -> KsnapError:
    """The connection was lost, or went silent, in the middle."""
    place = f"{host}/{repository}" if repository else host
    if isinstance(error, TimeoutError):
        return ImagePushFailed(
            f"Registry {host} stopped answering",
            details=f"while working on {place}",
            hint="Check the registry's load and disk, then try again",
        )
    return ConnectionLost(
        f"Registry {host} dropped the connection",
        details=f"while working on {place}: {_reason(error)}",
        hint="Check the registry's log and any proxy in front of it, then try again",
    )


def refused(host: str, repository: str, status: int, body: bytes) -> KsnapError:
    """An answer that is no success, repeated often enough."""
    place = f"{host}/{repository}" if repository else host
    said = _said(status, body)
    if status == 401:
        return credentials_refused(host, said)
    if status == 507 or (status >= 500 and _STORAGE_FULL.search(body)):
        return ImagePushFailed(
            f"Registry {host} has no space left",
            details=f"{place}: {said}",
            hint="Free space in the registry or raise its quota, then try again",
        )
    hints = {
        403: "Give the registry's user the right to pull, push and delete in this repository",
        404: "Create the project or repository in the registry, or correct the registry's path in its configuration",
        405: "The registry does not allow this; check whether it is read-only or has deletion switched off",
        413: "Raise the limit for request bodies in the proxy in front of the registry",
        429: "The registry limits requests; try again later",
    }
    hint = hints.get(status) or ("Check the registry's log, then try again" if status >= 500 else "")
    if status == 403 and _STORAGE_FULL.search(body):
        hint = "The registry's quota is used up: free space or raise it"
    if status == 404:
        return NotFound(f"Registry {host} does not have this", details=f"{place}: {said}", hint=hints[404])
    kind = ConnectionLost if status in TRANSIENT else ImagePushFailed
    return kind(f"Registry {host} refused the request", details=f"{place}: {said}", hint=hint)


@asynccontextmanager
async def first_failure() -> AsyncIterator[None]:
    """Around a task group: its error as the one that began it, of ours if there is one.

    Tasks stand in a group's error before its own block.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours = next((error for error in group.exceptions if isinstance(error, KsnapError)), None)
        raise ours or group.exceptions[0] from None


def _tls(host: str, reason: str) -> RegistryConnectionFailed:
    return RegistryConnectionFailed(
        f"TLS to registry {host} failed",
        details=reason[:_MAX_DETAIL],
        hint="Add the registry's certificate authority (ca_cert) to its configuration, or correct its address",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)[:_MAX_DETAIL]
    return (str(error) or type(error).__name__)[:_MAX_DETAIL]


def _said(status: int, body: bytes) -> str:
    """The registry's own words: its error list where it sent one."""
    try:
        errors = json.loads(body)["errors"]
        texts = [f"{each.get('code', '')} {each.get('message', '')}".strip() for each in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        texts = []
    return f"HTTP {status} {'; '.join(texts)}"[:_MAX_DETAIL].strip()
