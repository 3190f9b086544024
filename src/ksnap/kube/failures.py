"""What the API server answered or failed to answer, as our errors: each says which of us must change something.

ClusterConnectionFailed        refused credentials, a missing right, an untrusted certificate: a person must act
└── ClusterUnreachable         no connection, a time-out, 429, 5xx: may be over in a moment, a job tries again
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from ksnap.errors import AlreadyExists, ClusterConnectionFailed, Conflict, InvalidInput, KsnapError, NotFound

MESSAGE_LIMIT = 300
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class ClusterUnreachable(ClusterConnectionFailed):
    """The API server did not answer, or said that it cannot now."""


def from_exception(error: Exception, cluster: str) -> KsnapError:
    """The error of a request that got no answer."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return ClusterConnectionFailed(
            "The API server's certificate is not trusted",
            details=f"cluster {cluster}: {_cut(str(error))}",
            hint="Give the cluster its CA (ca_cert), and an api_server_url that the certificate names",
        )
    if isinstance(error, TimeoutError):
        return ClusterUnreachable(
            "The API server did not answer in time",
            details=f"cluster {cluster}",
            hint="Check that the API server runs; raise the cluster's timeout_s if it is far away",
        )
    return ClusterUnreachable(
        "The API server is unreachable",
        details=f"cluster {cluster}: {_cut(str(error) or type(error).__name__)}",
        hint="Check the cluster's api_server_url and the network between",
    )


def from_status(status: int, body: bytes, cluster: str, what: str) -> KsnapError:
    """The error of a refused request; `what` names its object."""
    message = _message(body)
    details = f"{what} in cluster {cluster}" + (f": {message}" if message else "")
    if status == 401:
        return ClusterConnectionFailed(
            "The cluster refuses ksnap's credentials", details=details, hint="Store fresh credentials for the cluster"
        )
    if status == 403:
        return ClusterConnectionFailed(
            "ksnap's account lacks a right in the cluster",
            details=details,
            hint="Grant it: docs/guides/install.md has a role with all that is needed",
        )
    if status == 404:
        return NotFound(f"{_missing(body, what)} not found", details=details)
    if status == 409:
        return _conflict(body, details)
    if status in TRANSIENT:
        return ClusterUnreachable("The API server could not answer", details=f"{details} (HTTP {status})")
    return InvalidInput("The API server refused the request", details=f"{details} (HTTP {status})")


def _conflict(body: bytes, details: str) -> KsnapError:
    if reason(body) == "AlreadyExists":
        return AlreadyExists("The name is taken in the cluster", details=details)
    return Conflict("The object has changed or is in use", details=details)


def is_status(body: bytes) -> bool:
    """Whether a body is the API server's own `Status`, and not that of something behind its proxy."""
    return _parsed(body).get("kind") == "Status"


def reason(body: bytes) -> str:
    return str(_parsed(body).get("reason", ""))


def _message(body: bytes) -> str:
    """A Status' message; other bodies (a proxy's page, an application's answer) say nothing to be trusted."""
    parsed = _parsed(body)
    return _cut(str(parsed.get("message", ""))) if parsed.get("kind") == "Status" else ""


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"


def _missing(body: bytes, what: str) -> str:
    """What is not there: the API server says so, for it may be the namespace of what was asked for."""
    details = _parsed(body).get("details")
    kind = str(details.get("kind", "")).removesuffix("s") if isinstance(details, dict) else ""
    return (kind or what.split(" ", maxsplit=1)[0] or "object").capitalize()
