"""What server and agent say to each other: version 1 of the agent's HTTP interface, as types.

Every call but `/healthz`, `/readyz` and `/metrics` carries `X-Ksnap-Authorization: Bearer <token>`; the token's
audience is `AUDIENCE`. The API server's pod proxy drops `Authorization`, hence a header of our own.

    GET    /v1/node                         -> NodeReport
    PUT    /v1/captures/{id}                CaptureRequest -> CaptureState; starts, resumes or just answers: idempotent
    GET    /v1/captures                     -> list of CaptureState: all that the node's journal knows
    GET    /v1/captures/{id}                -> CaptureState
    GET    /v1/captures/{id}/events?after=N -> CaptureEvent lines (NDJSON) until the capture has ended or is interrupted
                                               (the agent's restart); an empty line at least every `HEARTBEAT_S` keeps
                                               the connection known to be alive
    GET    /v1/captures/{id}/archive        -> the archive as one zstd stream (destination `server` alone)
    POST   /v1/captures/{id}/confirm        Confirmation -> CaptureState; the server has stored the archive: the node's
                                               copy goes, the capture ends
    DELETE /v1/captures/{id}                UndoRequest (optional body) -> CaptureState; cancels, undoes and forgets:
                                               idempotent. A state that still runs: a dump has to end first, ask again.
                                               One that is left in the registry is not forgotten: ask again, with
                                               credentials. Of a success nothing is removed
    GET    /v1/containers/{container_id}    -> ContainerEvidence: the runtime's own record of a restore
    PUT    /v1/images/{digest}              ImageRequest -> ImageState; have the checkpoint image unpacked on the node,
                                               and permit it to the pods named: answers at once, idempotent
    GET    /v1/images                       -> list of ImageState: all that are not absent
    GET    /v1/images/{digest}              -> ImageState
    DELETE /v1/images/{digest}              -> ImageState; stops its pull, removes it and its permits: idempotent.
                                               CONFLICT while a container's start uses it
    DELETE /v1/images/{digest}/failures     -> ImageState; let it be restored again after too many failures

An error is the public envelope: {"success": false, "error", "details", "code"}.
Registry credentials are part of a request, are held in memory while it runs, and are never written on the node; a
capture that the agent's own restart interrupted therefore waits in the journal, as `interrupted`, until the server
repeats its PUT; after `orphan_ttl_s` without one the agent undoes what the node holds. A pull of an image that the
restart interrupted is gone, and begins anew with the next PUT; what was permitted is remembered.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.registry_access import RegistryAccess

AUDIENCE = "ksnap-agent"
AUTHORIZATION_HEADER = "X-Ksnap-Authorization"
HEARTBEAT_S = 10.0
AGENT_PORT = 8443
AGENT_SELECTOR = "app.kubernetes.io/name=ksnap,app.kubernetes.io/component=agent"
SERVER_SERVICE_ACCOUNT = "ksnap-server"
# The SubjectAccessReview that an agent asks for: may this user get, create or delete on this node's agent?
AUTHORIZATION_GROUP = "ksnap.dev"
AUTHORIZATION_RESOURCE = "nodeagents"

# In a check's text: an agent that has just started has not looked yet. Not a failure; the server asks again.
NOT_TRIED = "not tried yet"

CAPTURE_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


WantedFreezeEngine = Literal["auto", "runtime", "kubelet"]
"""`kubelet`: whatever the kubelet and its runtime write, copied by them. `runtime`: CRIU's images come straight from
the node's OCI runtime, which only a container of the class ksnap has; others are frozen as by `kubelet`. `auto`: the
faster one, which is `runtime` wherever it can be had."""
FreezeEngine = Literal["runtime", "kubelet"]


class RegistryDestination(_Message):
    """Build the checkpoint image, sign it and push it: index and manifest, `tag` last."""

    kind: Literal["registry"] = "registry"
    registry: RegistryAccess
    repository: str
    tag: str
    signing_key: SecretStr | None = None
    """PEM of the key that signs the request's `annotations` with the image's digest; kept as credentials are, in memory
    while the request runs. None: the image stays unsigned."""

    @field_serializer("signing_key", when_used="json")
    def _reveal(self, signing_key: SecretStr | None) -> str | None:
        """Towards the agent, over TLS, as the registry's password."""
        return signing_key.get_secret_value() if signing_key is not None else None


class ServerDestination(_Message):
    """Keep the archive until the server has fetched and confirmed it (no registry is configured)."""

    kind: Literal["server"] = "server"


Destination = Annotated[RegistryDestination | ServerDestination, Field(discriminator="kind")]


class CaptureRequest(_Message):
    """Freeze one container of a pod on this node, and where its archive goes."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    container_id: str
    """As the pod's status has it: containerd://<64 hex digits>."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds that the dump alone may take; the transfer is bounded by its own progress."""
    destination: Destination
    annotations: dict[str, str] = {}
    """The image's annotations beyond those that the archive itself yields: the checkpoint key (decision 5)."""
    include_log: bool = False
    """Keep `container.log`, which may hold what the application printed."""
    max_archive_bytes: int = Field(default=1 << 40, gt=0)
    engine: WantedFreezeEngine = "kubelet"


class Stage(StrEnum):
    """Where a capture is. Order is the order of events."""

    QUEUED = "queued"
    DUMPING = "dumping"
    VALIDATING = "validating"
    PUSHING = "pushing"
    AWAITING_FETCH = "awaiting_fetch"
    VERIFYING = "verifying"
    CLEANING = "cleaning"
    DONE = "done"


class CaptureStatus(StrEnum):
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {CaptureStatus.SUCCEEDED, CaptureStatus.FAILED, CaptureStatus.CANCELLED}


class WireError(_Message):
    """A KsnapError on the wire between agent and server."""

    code: str
    status: int
    message: str
    details: str = ""
    hint: str = ""
    output: str = ""
    """Never logged."""


class CaptureEvent(_Message):
    """One step of progress. `sequence` counts from 1 for each capture, without gaps, over agent restarts too."""

    sequence: int
    at: datetime
    stage: Stage
    message: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None


class CaptureState(_Message):
    id: str
    status: CaptureStatus
    stage: Stage
    last_sequence: int
    archive: ArchiveFacts | None = None
    image: PushedImage | None = None
    error: WireError | None = None
    uploaded_blobs: list[str] = []
    """Blobs put into the registry so far, also of a capture that then failed."""
    manifests: list[str] = []
    """Manifests and the index put into the registry so far. What stands here after an undo could not be removed."""
    uploads: list[str] = []
    """The registry's upload sessions that are open."""
    freeze_engine: FreezeEngine | None = None
    """Which engine it was in the end; None before."""

    @property
    def is_left_in_registry(self) -> bool:
        """Whether the registry still holds, or may hold, something of this capture."""
        return bool(self.uploaded_blobs or self.manifests or self.uploads)


class Confirmation(_Message):
    """What the server has stored; refused with CONFLICT if it is not what the agent sent."""

    digest: str
    size_bytes: int


class UndoRequest(_Message):
    """Credentials to clean the registry with, where the agent no longer holds them (its restart)."""

    registry: RegistryAccess | None = None


class PermittedPod(_Message):
    """A pod that may be restored from an image. No container's name: all of its containers may."""

    namespace: str
    pod: str
    container: str = ""


class ImageRequest(_Message):
    """Have an image on the node. Its digest is the path's; where it comes from is nobody's concern afterwards."""

    # `for` is no name in Python; the wire has it all the same.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    repository: str
    """host/repository; the host is the registry's."""
    registry: RegistryAccess
    public_keys: str = ""
    """PEM: one of these keys must have signed it. Empty: a server from before there were signatures."""
    pods: tuple[PermittedPod, ...] = Field(default=(), alias="for", max_length=1000)
    """For whom: only these may be restored from it, for a while. None named: it is only fetched."""


class ImageStatus(StrEnum):
    ABSENT = "absent"
    PULLING = "pulling"
    READY = "ready"
    FAILED = "failed"


class ImageState(_Message):
    """A checkpoint image on one node."""

    digest: str
    status: ImageStatus
    bytes_done: int = 0
    """Of the compressed layer, while it is pulled."""
    bytes_total: int | None = None
    size_bytes: int = 0
    """Unpacked, once it is ready."""
    error: WireError | None = None
    """Why it failed."""
    failures: int = 0
    """Restores of it that failed in a row on this node."""


class FreezeObstacle(StrEnum):
    """Why a probe failed, where the kubelet stood in its way; `checks` has the whole text."""

    NOT_OFFERED = "kubelet-offers-no-checkpoints"
    REFUSED = "kubelet-refuses-agent"
    NOT_TRUSTED = "kubelet-not-trusted"
    NOT_REACHED = "kubelet-not-reached"


class NodeReport(_Message):
    """What one node is and can do, as its agent sees it (contract, section 8)."""

    node_name: str
    timestamp: datetime
    agent_version: str
    architecture: str = ""
    kernel_version: str = ""
    kubelet_version: str = ""
    container_runtime: str = ""
    """As the node's status has it: containerd://2.1.9."""
    runc_version: str = ""
    criu_version: str = ""
    checkpointing_enabled: bool = False
    freeze_obstacle: str = ""
    """A FreezeObstacle, or one that this version does not know; empty if it is none of them."""
    restore_supported: Literal["runtime", "image", "none"] = "none"
    """The better engine of those that work here: `runtime` before `image`."""
    restore_reason: str = ""
    """Why `none`, or by which means it can."""
    image_restore: bool = False
    """Whether the image engine works here, which `runtime` does not say."""
    free_disk_bytes: int = 0
    criu_options: list[str] = []
    """Options in force for runc's dumps on this node: tcp-close, skip-in-flight."""
    checks: dict[str, str] = {}
    """The contract's check strings: `criu: "criu:Version: 4.2.1"` and the like."""


class ContainerEvidence(_Message):
    """What the runtime on the node itself recorded of a container's start."""

    container_id: str
    restored: bool
    record: str = ""
    """Where that was read and what it says."""
