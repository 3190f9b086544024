"""The one tree of errors, drawn so that what to catch can be decided on this screen.

    KsnapError                        INTERNAL_ERROR             500
    ├── InvalidInput                  VALIDATION_ERROR           422
    ├── NotAuthenticated              AUTHENTICATION_FAILED      401
    ├── NotPermitted                  PERMISSION_DENIED          403
    ├── NotFound                      NOT_FOUND                  404
    │   └── ClusterNotFound           CLUSTER_NOT_FOUND          404
    ├── MethodNotAllowed              METHOD_NOT_ALLOWED         405
    ├── AlreadyExists                 ALREADY_EXISTS             409
    ├── Conflict                      CONFLICT                   409
    │   └── JobCancelled              CONFLICT                   409
    ├── TooLarge                      PAYLOAD_TOO_LARGE          413
    ├── RateLimited                   RATE_LIMIT_EXCEEDED        429
    ├── AnalysisFailed                ANALYSIS_FAILED            500
    ├── CheckpointFailed              CHECKPOINT_FAILED          502
    │   └── CheckpointTimedOut        CHECKPOINT_FAILED          504
    ├── RestoreFailed                 RESTORE_FAILED             502
    │   └── ImageUntrusted            RESTORE_FAILED             502
    ├── ClusterConnectionFailed       CLUSTER_CONNECTION_FAILED  502
    ├── RegistryConnectionFailed      REGISTRY_CONNECTION_FAILED 502
    ├── ImagePushFailed               IMAGE_PUSH_FAILED          502
    ├── Unavailable                   SERVICE_UNAVAILABLE        503
    └── InsufficientStorage           INSUFFICIENT_STORAGE       507

The message says what failed, the details on what, the hint what to do. Callers branch on the type or the code,
never on text. A foreign error becomes one of these at the edge of the adapter that met it. None of these texts may
hold a secret: they travel to users, logs, progress events and the store. What a program of somebody else's wrote can
be kept to no such rule; its last lines are `output`, which only the job's own record and the one who asked get.
"""

from typing import Literal


class KsnapError(Exception):
    """Anything that ksnap itself reports as failed. `code` is the wire's stable word, `status` its HTTP status."""

    code: str = "INTERNAL_ERROR"
    status: int = 500

    def __init__(self, message: str, *, details: str = "", hint: str = "", output: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.hint = hint
        self.output = output

    @property
    def explanation(self) -> str:
        """Details, output and hint as one text: the envelope's `details`."""
        said = f"It wrote: {self.output}" if self.output else ""
        return ". ".join(part.rstrip(". ") for part in (self.details, said, self.hint) if part)


class InvalidInput(KsnapError):
    code = "VALIDATION_ERROR"
    status = 422


class NotAuthenticated(KsnapError):
    code = "AUTHENTICATION_FAILED"
    status = 401


class NotPermitted(KsnapError):
    code = "PERMISSION_DENIED"
    status = 403


class NotFound(KsnapError):
    code = "NOT_FOUND"
    status = 404


class ClusterNotFound(NotFound):
    code = "CLUSTER_NOT_FOUND"


class MethodNotAllowed(KsnapError):
    code = "METHOD_NOT_ALLOWED"
    status = 405


class AlreadyExists(KsnapError):
    code = "ALREADY_EXISTS"
    status = 409


class Conflict(KsnapError):
    code = "CONFLICT"
    status = 409


class JobCancelled(Conflict):
    """The job was cancelled by its user; everything it had begun was undone."""


class TooLarge(KsnapError):
    code = "PAYLOAD_TOO_LARGE"
    status = 413


class RateLimited(KsnapError):
    code = "RATE_LIMIT_EXCEEDED"
    status = 429


class AnalysisFailed(KsnapError):
    code = "ANALYSIS_FAILED"
    status = 500


class CheckpointFailed(KsnapError):
    code = "CHECKPOINT_FAILED"
    status = 502


class CheckpointTimedOut(CheckpointFailed):
    status = 504


class RestoreFailed(KsnapError):
    code = "RESTORE_FAILED"
    status = 502


Distrust = Literal["unsigned", "unknown", "altered"]
"""Nobody signed; no trusted key did; or what was signed is not this image."""


class ImageUntrusted(RestoreFailed):
    """A checkpoint image that must not be restored. `reason` is for counting; a wire does not carry it."""

    def __init__(self, message: str, *, details: str = "", hint: str = "", reason: Distrust = "altered") -> None:
        super().__init__(message, details=details, hint=hint)
        self.reason = reason


class ClusterConnectionFailed(KsnapError):
    code = "CLUSTER_CONNECTION_FAILED"
    status = 502


class RegistryConnectionFailed(KsnapError):
    code = "REGISTRY_CONNECTION_FAILED"
    status = 502


class ImagePushFailed(KsnapError):
    code = "IMAGE_PUSH_FAILED"
    status = 502


class Unavailable(KsnapError):
    code = "SERVICE_UNAVAILABLE"
    status = 503


class InsufficientStorage(KsnapError):
    code = "INSUFFICIENT_STORAGE"
    status = 507


def by_code(code: str, status: int | None = None) -> type[KsnapError]:
    """The class of a wire code, so that an error crosses a wire and stays itself; unknown codes are KsnapError.

    Where two classes share a code the status tells them apart; without one the more general class is taken.
    """
    classes = _descendants(KsnapError)
    matching = [each for each in classes if each.code == code]
    exact = [each for each in matching if each.status == status]
    return (exact or matching or [KsnapError])[0]


def _descendants(root: type[KsnapError]) -> list[type[KsnapError]]:
    level, found = [root], [root]
    while level:
        level = [child for each in level for child in each.__subclasses__()]
        found += level
    return found
