"""Failures of the dashboard's paths (contract dashboard-api, section 3): plain text that its page understands.

The Kubernetes `Status` in the key `ErrStatus` instead, where `Accept` names JSON and no text. The status is the API
server's where it was the one that refused.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from ksnap.dashboard.statuses import ErrStatus, err_status, message_of
from ksnap.errors import KsnapError
from ksnap.server.answers import json_answer, media_types


def response(error: KsnapError, scope: Scope, headers: Mapping[str, str]) -> Response:
    """The whole answer of a failure."""
    status = err_status(error)
    accepted = media_types(Headers(scope=scope).get("accept", "*/*"))
    if "application/json" in accepted and not accepted & {"text/plain", "text/*", "*/*"}:
        return _json(status, headers)
    return Response(
        message_of(error).encode("utf-8", "replace"),
        status_code=status["ErrStatus"]["code"],
        headers=dict(headers),
        media_type="text/plain",
    )


def _json(status: ErrStatus, headers: Mapping[str, str]) -> Response:
    answer = json_answer(status, status["ErrStatus"]["code"])
    answer.headers.update(headers)
    return answer
