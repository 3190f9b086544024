"""The failures of a route in its documentation: `responses(ClusterNotFound, Conflict)` with an example for each code.

What every route with a token may answer is added by itself. The examples are also `docs/reference/errors.md`.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel

from ksnap.checkpoints.byte_range import RangeNotSatisfiable
from ksnap.errors import (
    AlreadyExists,
    AnalysisFailed,
    CheckpointFailed,
    CheckpointTimedOut,
    ClusterConnectionFailed,
    ClusterNotFound,
    Conflict,
    ImagePushFailed,
    ImageUntrusted,
    InsufficientStorage,
    InvalidInput,
    JobCancelled,
    KsnapError,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    RateLimited,
    RegistryConnectionFailed,
    RestoreFailed,
    TooLarge,
    Unavailable,
)
from ksnap.server.failures import envelope

ANONYMOUS: tuple[type[KsnapError], ...] = (KsnapError, RateLimited, Unavailable)
AUTHENTICATED: tuple[type[KsnapError], ...] = (NotAuthenticated, NotPermitted, InvalidInput, *ANONYMOUS)

EXAMPLES: dict[type[KsnapError], KsnapError] = {
    type(each): each
    for each in (
        KsnapError("Internal error", details="5f0c1e0e7c0d4b0f9d3c0c6a4e1b2a3d"),
        InvalidInput("The request is not valid", details="pod_name: Field required"),
        NotAuthenticated("The token is not valid", details="it has expired", hint="Log in again"),
        NotPermitted(
            "Your role may not do this",
            details="it needs the role operator, ann has viewer",
            hint="Ask an administrator",
        ),
        NotFound("Registry not found", details="no registry named 'nexus'", hint="See GET /config/registry/list"),
        ClusterNotFound("Cluster not found", details="no cluster named 'prod-2'", hint="See GET /config/clusters/list"),
        MethodNotAllowed("The path does not know this method", details="GET /config/user/login"),
        AlreadyExists("The name is taken", details="a cluster named 'prod' exists"),
        Conflict("The registry is in use", details="cluster prod names it", hint="Change the cluster first"),
        JobCancelled("The job was cancelled", details="all that it had begun was undone"),
        TooLarge("The body is too large", details="at most 1048576 bytes are accepted"),
        RateLimited("Too many requests", details="1000 requests an hour are allowed", hint="Try again in 312 seconds"),
        AnalysisFailed("The archive cannot be read", details="checkpoint 01jd: spec.dump is missing"),
        CheckpointFailed(
            "The container cannot be frozen",
            details="it has an open TCP connection",
            hint="Set tcp-close in the agent's criu options",
        ),
        CheckpointTimedOut("The checkpoint took too long", details="container web, 600 s"),
        RestoreFailed("The pod was not restored", details="pod web-r: no node can restore"),
        ImageUntrusted(
            "The checkpoint image is not signed",
            details="registry.example/snap/web@sha256:5f0c...",
            hint="Push it again with a server that signs",
        ),
        ClusterConnectionFailed(
            "The API server is unreachable",
            details="cluster prod: connection refused",
            hint="Check the cluster's api_server_url and the network between",
        ),
        RegistryConnectionFailed(
            "The registry refuses the credentials", details="registry.example: 401", hint="Correct username or password"
        ),
        ImagePushFailed("The registry refused the image", details="registry.example/snap/web: 413"),
        Unavailable("The database does not answer", hint="Try again in a moment"),
        RangeNotSatisfiable("The range lies beyond the end", details="the archive has 1048576 bytes"),
        InsufficientStorage("The blob store is full", hint="Delete checkpoints, or give the store more room"),
    )
}


class ErrorBody(BaseModel):
    """Every failure: exactly these four keys."""

    success: Literal[False]
    error: str
    details: str
    code: str


def responses(*errors: type[KsnapError], anonymous: bool = False) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for these failures and those that go without saying."""
    every = (*errors, *(ANONYMOUS if anonymous else AUTHENTICATED))
    statuses = sorted({each.status for each in every})
    return {status: _response(each for each in dict.fromkeys(every) if each.status == status) for status in statuses}


def _response(errors: Iterable[type[KsnapError]]) -> dict[str, Any]:
    examples = {each.code: {"summary": EXAMPLES[each].message, "value": envelope(EXAMPLES[each])} for each in errors}
    return {
        "model": ErrorBody,
        "description": ", ".join(examples),
        "content": {"application/json": {"examples": examples}},
    }
