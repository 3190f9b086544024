"""What survives the agent's process: one file for each capture, one for its events. Never a credential.

`<state_dir>/journal/<id>.json` is replaced as a whole (written aside, fsync, rename, fsync of the folder), so a reader
after a power loss finds the old or the new entry. `<id>.events` is appended to, one line an event: a killed process
loses none, a power loss at most the last ones. All calls here block; callers use a thread, or know why not.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ksnap.agent.state_files import replace_file
from ksnap.errors import InsufficientStorage, KsnapError
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.node.protocol import (
    CaptureEvent,
    CaptureRequest,
    CaptureState,
    CaptureStatus,
    FreezeEngine,
    RegistryDestination,
    Stage,
    WireError,
)

log = structlog.get_logger()


class JournalEntry(BaseModel):
    """All that a restarted agent needs to know of one capture."""

    model_config = ConfigDict(extra="ignore")

    id: str
    request: CaptureRequest
    created_at: datetime
    changed_at: datetime
    status: CaptureStatus = CaptureStatus.RUNNING
    stage: Stage = Stage.QUEUED
    archives_before: list[str] = []
    """The container's archives in the kubelet's folder before the dump was asked for: they are not ours."""
    dump_asked_at: datetime | None = None
    dump_ended: bool = False
    """The kubelet has answered; without this a dump may still be under way after a restart."""
    archive_path: str | None = None
    images_path: str | None = None
    """Our own folder for this dump's images, filled by the runtime engine alone."""
    freeze_mark: str = ""
    """What the archive holds in place of its images, if they are in that folder."""
    boot_id: str = ""
    """Of the node, when the images were written: they were never synced, so a power loss may have cut them."""
    freeze_engine: FreezeEngine | None = None
    dump_s: float | None = None
    """From asking the kubelet to the written archive."""
    uploads: list[str] = []
    """The registry's upload sessions that are open; cancelled before another push."""
    uploaded_blobs: list[str] = []
    manifests: list[str] = []
    """Manifests and the index that this capture put into the registry."""
    former_tag_digest: str | None = None
    """What the tag named before this capture moved it: an undo puts it back."""
    facts: ArchiveFacts | None = None
    image: PushedImage | None = None
    error: WireError | None = None
    cancelled: bool = False
    """Its user has cancelled it; what is still to be undone is undone also after a restart."""
    last_sequence: int = 0

    @property
    def is_left_on_node(self) -> bool:
        """Whether the node holds, or may hold, an archive of this capture."""
        return any((self.archive_path, self.images_path, self.dump_asked_at))

    def state(self) -> CaptureState:
        """The entry as the server sees it."""
        return CaptureState(
            id=self.id,
            status=self.status,
            stage=self.stage,
            last_sequence=self.last_sequence,
            archive=self.facts,
            image=self.image,
            error=self.error,
            uploaded_blobs=self.uploaded_blobs,
            manifests=self.manifests,
            uploads=self.uploads,
            freeze_engine=self.freeze_engine,
        )


def without_credentials(request: CaptureRequest) -> CaptureRequest:
    """The request as it may be written to a disk: an account's name and password and the signing key are left out."""
    destination = request.destination
    if not isinstance(destination, RegistryDestination):
        return request
    registry = destination.registry.model_copy(update={"username": "", "password": SecretStr("")})
    bare = destination.model_copy(update={"registry": registry, "signing_key": None})
    return request.model_copy(update={"destination": bare})


def wire_error(error: KsnapError) -> WireError:
    """An error as a message."""
    return WireError(
        code=error.code, status=error.status, message=error.message, details=error.details, hint=error.hint
    )


class Journal:
    """The folder of entries. One agent at a time uses it: a node has one."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "journal"
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}

    def prepare(self) -> None:
        """Make the folder, and remove what a power loss left half-written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*.new"):
            leftover.unlink(missing_ok=True)

    def entries(self) -> Iterator[JournalEntry]:
        """Every entry that can be read. An unreadable one is set aside, not deleted: it may name an archive."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield JournalEntry.model_validate_json(path.read_bytes())
            except (ValidationError, OSError) as exc:
                log.warning("journal_entry_unreadable", path=str(path), reason=type(exc).__name__)
                with suppress(OSError):
                    path.rename(path.with_suffix(".unreadable"))

    def save(self, capture_id: str, text: str, revision: int) -> None:
        """Write an entry's JSON; on return it survives a power loss. One that a later revision overtook is left out."""
        with self._lock:
            if revision <= self._written.get(capture_id, -1):
                return
            try:
                replace_file(self._path(capture_id), text)
            except OSError as exc:
                raise InsufficientStorage(
                    "The agent cannot write its journal",
                    details=f"{self._folder}: {exc.strerror}",
                    hint="Free disk on the node, or check the agent's state folder",
                ) from exc
            self._written[capture_id] = revision

    def forget(self, capture_id: str) -> None:
        """Remove an entry and its events; they may be gone already."""
        with self._lock:
            try:
                self._path(capture_id).unlink(missing_ok=True)
                self._events_path(capture_id).unlink(missing_ok=True)
            except OSError as exc:
                log.warning("entry_not_forgotten", capture=capture_id, reason=exc.strerror)
            self._written.pop(capture_id, None)

    def append_event(self, capture_id: str, event: CaptureEvent) -> None:
        """Add a line. A full disk costs the record, not the capture: the event is told all the same."""
        line = event.model_dump_json(exclude_none=True) + "\n"
        try:
            descriptor = os.open(self._events_path(capture_id), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(line.encode())
        except OSError as exc:
            log.warning("event_not_journaled", capture=capture_id, reason=exc.strerror)

    def events(self, capture_id: str) -> list[CaptureEvent]:
        """The events so far; a torn last line is left out."""
        try:
            lines = self._events_path(capture_id).read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValidationError, json.JSONDecodeError):
                found.append(CaptureEvent.model_validate_json(line))
        return found

    def _path(self, capture_id: str) -> Path:
        return self._folder / f"{capture_id}.json"

    def _events_path(self, capture_id: str) -> Path:
        return self._folder / f"{capture_id}.events"
