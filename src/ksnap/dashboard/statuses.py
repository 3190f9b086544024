"""What went wrong, in the Dashboard's words: `ErrStatus` objects and the messages that its page translates.

Contract dashboard-api, section 3. Lists carry such objects in `errors[]` for what the caller may not see.
"""

from typing import Any

from ksnap.errors import InvalidInput, KsnapError, NotAuthenticated, NotPermitted
from ksnap.kube.failures import ClusterTimedOut, KubeRefusal

ErrStatus = dict[str, dict[str, Any]]

UNAUTHORIZED = "MSG_LOGIN_UNAUTHORIZED_ERROR"
FORBIDDEN = "MSG_FORBIDDEN_ERROR"
CSRF_FAILED = "MSG_CSRF_VALIDATION_ERROR"
NAMESPACE_MISMATCH = "MSG_DEPLOY_NAMESPACE_MISMATCH_ERROR"
EMPTY_NAMESPACE = "MSG_DEPLOY_EMPTY_NAMESPACE_ERROR"
# By a part of the API server's message; the page has a translation for each.
_TRANSLATED = {
    "does not match the namespace": NAMESPACE_MISMATCH,
    "empty namespace may not be set": EMPTY_NAMESPACE,
    "the server has asked for the client to provide credentials": UNAUTHORIZED,
}
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class CsrfFailed(NotAuthenticated):
    """A POST without a valid token in X-CSRF-TOKEN."""

    def __init__(self) -> None:
        super().__init__(CSRF_FAILED, hint="Get one from /api/v1/csrftoken/{action}")


def code_of(error: KsnapError) -> int:
    """The HTTP status of a failure on the dashboard's paths."""
    match error:
        case KubeRefusal():
            return error.status
        case InvalidInput():
            return 400
        case ClusterTimedOut():
            return 504
        case _:
            return error.status


def message_of(error: KsnapError) -> str:
    """The text of a failure."""
    match error:
        case CsrfFailed():
            return CSRF_FAILED
        case NotAuthenticated() | KubeRefusal(status=401):
            return UNAUTHORIZED
        case KubeRefusal(status=403):
            return f"forbidden: {error.api_message}"
        case KubeRefusal():
            found = [told for part, told in _TRANSLATED.items() if part in error.api_message]
            return found[0] if found else error.api_message
        case NotPermitted():
            return f"forbidden: {_whole(error)}"
        case _:
            return _whole(error)


def err_status(error: KsnapError) -> ErrStatus:
    """The Kubernetes Status of a failure, as `errors[]` and JSON answers carry it."""
    code, message = code_of(error), message_of(error)
    details: dict[str, Any] = {}
    if isinstance(error, KubeRefusal):
        details = dict(error.body.get("details") or {})
    if code == 401:
        details["name"] = message
    if code == 403:
        details.setdefault("name", FORBIDDEN)
    reason = (error.reason if isinstance(error, KubeRefusal) else "") or _REASONS.get(code, "InternalError")
    status: dict[str, Any] = {"metadata": {}, "status": "Failure", "message": message, "reason": reason}
    return {"ErrStatus": {**status, "details": details, "code": code}}


def add_error(errors: list[ErrStatus], error: KsnapError) -> None:
    """Put a failure that is none of the whole request into `errors[]`; one that says the same is there already."""
    status = err_status(error)
    if all(each["ErrStatus"]["message"] != status["ErrStatus"]["message"] for each in errors):
        errors.append(status)


def _whole(error: KsnapError) -> str:
    return f"{error.message}: {error.explanation}" if error.explanation else error.message
