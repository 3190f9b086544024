"""What the API server answered or failed to answer, as our errors: each says which of us must change something.

ClusterConnectionFailed        refused credentials, a missing right, an untrusted certificate: a person must act
└── ClusterUnreachable         no connection, a time-out, 429, 5xx: may be over in a moment, a job tries again
    └── ClusterTimedOut        no answer in time
KubeRefusal                    what the API server refused to a caller: its own status, its own words
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from ksnap.errors import (
    AlreadyExists,
    ClusterConnectionFailed,
    Conflict,
    InvalidInput,
    KsnapError,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    RateLimited,
    TooLarge,
)

MESSAGE_LIMIT = 300
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class ClusterUnreachable(ClusterConnectionFailed):
    """The API server did not answer, or said that it cannot now."""


class ClusterTimedOut(ClusterUnreachable):
    """The API server did not answer in time."""


_CODES = {
    401: NotAuthenticated.code,
    403: NotPermitted.code,
    404: NotFound.code,
    409: Conflict.code,
    413: TooLarge.code,
    429: RateLimited.code,
}


class KubeRefusal(KsnapError):
    """The API server refused what somebody asked through ksnap (a `Status`, apimachinery's meta/v1).

    `status` is the API server's. The text is for the caller alone: it may name what they may see, and no others.
    """

    def __init__(self, status: int, body: Mapping[str, Any], *, details: str = "") -> None:
        self.reason = str(body.get("reason", ""))
        self.api_message = str(body.get("message", "")) or f"the API server answered {status}"
        super().__init__(self.api_message, details=details)
        self.status = status
        self.code = _CODES.get(status, InvalidInput.code if status < 500 else ClusterConnectionFailed.code)
        self.body = body
        """The Status; empty where something else answered."""

    @classmethod
    def forbidden(cls, verb: str, resource: str, *, group: str = "", namespace: str = "") -> "KubeRefusal":
        """What the API server itself says to one who lacks a right, for what is answered from memory instead."""
        qualified = f"{resource}.{group}" if group else resource
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        message = f'{qualified} is forbidden: cannot {verb} resource "{resource}" in API group "{group}"{where}'
        details = {"kind": resource} | ({"group": group} if group else {})
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
        return cls(403, {**body, "reason": "Forbidden", "details": details, "code": 403})


def refusal(status: int, body: bytes, cluster: str, what: str, *, passed_on: bool) -> KsnapError:
    """The error of a request that was made for a caller, whose own token was `passed_on` or who is impersonated."""
    parsed = _parsed(body)
    told = parsed if parsed.get("kind") == "Status" else {}
    ours = not passed_on and (status == 401 or "cannot impersonate resource" in str(told.get("message", "")))
    if ours:
        return from_status(status, body, cluster, what)  # ksnap's own account is at fault, not the caller
    return KubeRefusal(status, told, details=f"{what} in cluster {cluster}")


def from_exception(error: Exception, cluster: str) -> KsnapError:
    """The error of a request that got no answer."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return ClusterConnectionFailed(
            "The API server's certificate is not trusted",
            details=f"cluster {cluster}: {_cut(str(error))}",
            hint="Give the cluster its CA (ca_cert), and an api_server_url that the certificate names",
        )
    if isinstance(error, TimeoutError):
        return ClusterTimedOut(
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
