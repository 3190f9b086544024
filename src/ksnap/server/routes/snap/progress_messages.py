"""Progress as its followers get it (contract, section 4): one JSON object for each event, made once for all of them."""

from functools import lru_cache
from typing import Literal

from ksnap.checkpoints.job_log import NOT_A_USER, FeedEvent
from ksnap.server.messages import Reply, Timestamp

Initiator = Literal["SnapApi", "SnapWatcher", "SnapHook"]
_INITIATORS: dict[str, Initiator] = {"watcher": "SnapWatcher", "hook": "SnapHook"}
# Those who keep up ask for the same event within moments of each other.
_KEPT = 512


class ProgressFrame(Reply):
    """One step of a job."""

    type: Literal["progress"] = "progress"
    id: int
    """Larger than all before it; come back with the last one to miss nothing."""
    task_name: str
    progress: float | Literal["failed"]
    message: str
    timestamp: Timestamp
    initiator: Initiator
    cluster: str
    namespace: str
    pod_name: str
    operation_id: str
    job_id: str
    stage: str
    bytes_done: int | None
    bytes_total: int | None
    code: str | None


@lru_cache(maxsize=_KEPT)
def frame_text(event: FeedEvent) -> str:
    """The frame as JSON."""
    prefix, separator, _name = event.started_by.partition(NOT_A_USER)
    frame = ProgressFrame(
        id=event.id,
        task_name=event.task_name,
        progress="failed" if event.stage == "failed" else event.progress,
        message=event.message,
        timestamp=event.at,
        initiator=_INITIATORS.get(prefix, "SnapApi") if separator else "SnapApi",
        cluster=event.cluster_name,
        namespace=event.namespace,
        pod_name=event.pod_name,
        operation_id=event.job_id,
        job_id=event.job_id,
        stage=event.stage,
        bytes_done=event.bytes_done,
        bytes_total=event.bytes_total,
        code=event.code,
    )
    return frame.model_dump_json()


def event_block(event: FeedEvent) -> bytes:
    """The same as a server-sent event."""
    return f"id: {event.id}\ndata: {frame_text(event)}\n\n".encode()
