"""What ksnap-runc and the agent say to each other over the restore socket, version 1: one JSON line each way.

    {"version": 1, "op": "prepare", ...}  -> PrepareReply
    {"version": 1, "op": "outcome", ...}  -> {}
    {"version": 1, "op": "ended", ...}    -> {}
    {"version": 1, "op": "freeze", ...}   -> FreezeReply
    anything else                         -> {"error": "..."}

Unknown fields are ignored, in both directions, and so is the error: a runtime may be newer than its agent. Names become
parts of URLs and of messages, hence their patterns.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LINE_LIMIT = 64 * 1024

_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
_Milliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Reason(StrEnum):
    """Why a container was started cold: words for events and metrics."""

    AGENT_UNAVAILABLE = "AgentUnavailable"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    IMAGE_UNTRUSTED = "ImageUntrusted"
    NOT_PERMITTED = "NotPermitted"
    TOO_MANY_FAILURES = "TooManyFailures"
    ARCHITECTURE_MISMATCH = "ArchitectureMismatch"
    CPU_MISMATCH = "CpuMismatch"
    MOUNT_MISMATCH = "MountMismatch"
    USER_MISMATCH = "UserMismatch"
    RUNTIME_MISMATCH = "RuntimeMismatch"
    ROOTFS_DIFF_REFUSED = "RootfsDiffRefused"
    CRIU_MISSING = "CriuMissing"
    RESTORE_FAILED = "RestoreFailed"
    DISK_FULL = "DiskFull"


class _AnyLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1]
    container_id: _Id


class _Line(_AnyLine):
    sandbox_id: str = ""
    namespace: _Name
    pod: _Name
    pod_uid: Annotated[str, Field(max_length=128)] = ""
    container: _Name
    image: Annotated[str, Field(max_length=1024)]
    """host/repository@sha256:..., as the pod's author wrote it into an annotation: no more than a wish."""


class PrepareRequest(_Line):
    """Have the image there; the runtime waits no longer than the deadline."""

    op: Literal["prepare"]
    deadline_ms: _Milliseconds


class OutcomeReport(_Line):
    """How the start went."""

    op: Literal["outcome"]
    restored: bool
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Annotated[str, Field(max_length=16 * 1024)] = ""
    prepare_ms: _Milliseconds = 0
    apply_ms: _Milliseconds = 0
    criu_ms: _Milliseconds = 0
    total_ms: _Milliseconds = 0


class EndReport(_Line):
    """How a restored container's process ended; told when the container is deleted."""

    op: Literal["ended"]
    lived_ms: Annotated[float, Field(ge=0, le=1e13, allow_inf_nan=False)]
    """Since the end of the restore. A pod may run for years."""
    signalled: bool = False
    """Somebody had sent it a signal through its runtime, as for every pod that is deleted."""


class FreezeQuestion(_AnyLine):
    """A dump of this container begins: did the agent ask for it?"""

    op: Literal["freeze"]


RestoreMessage = PrepareRequest | OutcomeReport | EndReport | FreezeQuestion
RestoreLine = Annotated[RestoreMessage, Field(discriminator="op")]
RESTORE_LINE: TypeAdapter[RestoreMessage] = TypeAdapter(RestoreLine)


class Prepared(BaseModel):
    """The image is there and held for this container."""

    ready: Literal[True] = True
    path: str
    fetch_ms: int = 0
    unpack_ms: int = 0
    """Of the pull that this start waited for; zero where the image was there already."""


class Refusal(BaseModel):
    """The container is to be started cold."""

    ready: Literal[False] = False
    reason: Reason
    message: str


PrepareReply = Prepared | Refusal


class FreezeReply(BaseModel):
    """Where the dump's images are to go, and the mark to leave where they were to go; both empty: as it was asked."""

    path: str = ""
    mark: str = ""
