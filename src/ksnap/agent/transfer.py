"""What happens to a written archive: pushed as an image and verified, or handed to the server; or all that undone.

The bytes themselves are `publish.py`'s affair; here is what is journaled of them, so that a restart can undo it.
"""

import asyncio
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from ksnap.agent.archive_source import ArchiveSource, SplitArchive, in_thread
from ksnap.agent.capture import Capture, utc_now
from ksnap.agent.cpu_features import CPU_FEATURES, cpu_features
from ksnap.agent.direct_freeze import images_of
from ksnap.agent.journal import JournalEntry
from ksnap.agent.metrics import ARCHIVE_BYTES
from ksnap.agent.publish import ArchiveOptions, Progress, pack_archive, push_archive
from ksnap.errors import CheckpointFailed, Conflict, ImagePushFailed, KsnapError
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureRequest, RegistryDestination, Stage
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget, undo_push
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import Signing, local_signer

log = structlog.get_logger()

_TELL_EVERY_S = 0.5
_UNDO_DEADLINE_S = 60.0
# Kubernetes' and OCI's names for what the kernel calls otherwise.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class JournaledPush:
    """What a push puts into the registry, written to the journal before it is put there.

    Written at once, in the event loop: a push calls this a handful of times, and going on before the entry is on
    the disk would leave a blob behind that nobody knows of.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._entry = capture.entry

    def upload_started(self, location: str) -> None:
        self._entry.uploads.append(location)
        self._capture.save_at_once()

    def upload_ended(self, location: str) -> None:
        if location in self._entry.uploads:
            self._entry.uploads.remove(location)
        self._capture.save_at_once()

    def blob_pushed(self, digest: str) -> None:
        if digest not in self._entry.uploaded_blobs:
            self._entry.uploaded_blobs.append(digest)
        self._capture.save_at_once()

    def manifest_pushed(self, digest: str) -> None:
        if digest not in self._entry.manifests:
            self._entry.manifests.append(digest)
        self._capture.save_at_once()

    def tag_found(self, digest: str) -> None:
        # An earlier try of this capture may have moved the tag already.
        if digest not in self._entry.manifests:
            self._entry.former_tag_digest = digest
        self._capture.save_at_once()


async def push(capture: Capture, destination: RegistryDestination) -> None:
    """Push the journaled archive. What a former agent's try left open is closed first."""
    entry = capture.entry
    if entry.uploads:
        async with open_registry(destination.registry) as client:
            await undo_push(client, destination.repository, uploads=entry.uploads)
        entry.uploads = []
    took = f" in {entry.dump_s:.2f} s" if entry.dump_s is not None else ""
    said = f"frozen by the {entry.freeze_engine} engine{took}; the archive is validated while it is pushed"
    await capture.enter(Stage.VALIDATING, said)
    processor = await in_thread(_processor)
    target = ImageTarget(
        repository=destination.repository,
        tag=destination.tag,
        annotations={**processor, **entry.request.annotations},
        architecture=architecture(),
        # Of the capture and not of this try, so that a second push finds the first one's documents.
        created=entry.created_at,
        signing=await _signing(entry.request, destination),
    )
    await capture.enter(Stage.PUSHING, "pushing the image")
    async with _told(capture) as moved:
        facts, image = await push_archive(
            _source(entry),
            registry=destination.registry,
            target=target,
            options=_options(entry.request),
            progress=moved,
            log=JournaledPush(capture),
        )
    entry.facts = _frozen_on(processor, facts)
    entry.image = image.model_copy(update={"blobs": list(entry.uploaded_blobs)})
    await capture.save()
    ARCHIVE_BYTES.inc(facts.compressed_bytes)


async def verify(capture: Capture, destination: RegistryDestination) -> None:
    """The registry itself says, by digest, that it has the image: only then may the node's copy go."""
    image = capture.entry.image
    if image is None:
        raise ImagePushFailed("Nothing was pushed")
    await capture.enter(Stage.VERIFYING, f"verifying {image.digest}")
    async with open_registry(destination.registry) as client:
        found = await Manifests(client, image.repository).head(image.digest)
    if found != image.digest:
        raise ImagePushFailed(
            "The registry does not have the image that it accepted",
            details=f"{image.host}/{image.repository}@{image.digest}",
            hint="Look at the registry's log and storage",
        )


async def await_fetch(capture: Capture, *, patience_s: float) -> None:
    """Wait until the server has fetched the archive and confirmed it; a fetch that moves keeps the wait alive."""
    await capture.enter(Stage.AWAITING_FETCH, "waiting for the server to fetch the archive")
    capture.active_at = utc_now()
    while not capture.confirmed.is_set():
        if capture.refused is not None:
            raise capture.refused
        left = (capture.active_at + timedelta(seconds=patience_s) - utc_now()).total_seconds()
        if left <= 0:
            raise CheckpointFailed(
                "The server did not fetch the archive", details=f"within {patience_s:g} s", hint="Try again"
            )
        await capture.changed(left)


async def send(capture: Capture, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Stream the compressed archive to `write`. An archive that turns out to be bad ends the capture."""
    entry = capture.entry
    if entry.stage is not Stage.AWAITING_FETCH or entry.archive_path is None:
        raise Conflict("There is no archive to fetch", details=f"capture {capture.id} is at {entry.stage}")
    if capture.fetching:
        raise Conflict("The archive is being fetched already", details=capture.id)

    async def consume(pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            await write(piece)
            capture.active_at = utc_now()

    capture.fetching = True
    # Facts are told of a whole fetch only: the server takes their absence for a stream that broke off.
    entry.facts = None
    try:
        async with _told(capture) as moved:
            packed, _ = await pack_archive(_source(entry), consume, options=_options(entry.request), progress=moved)
        entry.facts = _frozen_on(await in_thread(_processor), packed.facts)
        await capture.save()
        ARCHIVE_BYTES.inc(packed.facts.compressed_bytes)
    except KsnapError as error:
        capture.refuse(error)
        raise
    finally:
        capture.fetching = False


async def undo(capture: Capture, registry: RegistryAccess, *, deadline_s: float = _UNDO_DEADLINE_S) -> None:
    """Remove from the registry what this capture put there: upload sessions, index with its tag, manifest, own blobs.

    What cannot be removed stays in the journal's lists and is logged: the server sees it in the capture's state.
    """
    entry = capture.entry
    destination = entry.request.destination
    if not isinstance(destination, RegistryDestination) or not (
        entry.uploads or entry.manifests or entry.uploaded_blobs
    ):
        return
    try:
        async with asyncio.timeout(deadline_s), open_registry(registry) as client:
            await undo_push(
                client,
                destination.repository,
                uploads=entry.uploads,
                blobs=entry.uploaded_blobs,
                manifests=entry.manifests,
                tag=destination.tag,
                former_tag_digest=entry.former_tag_digest,
            )
    except (KsnapError, TimeoutError) as error:
        reason = str(error) or "time is up"
        log.warning("push_not_undone", capture=capture.id, reason=reason, **leftovers(capture))
        return
    entry.uploads, entry.manifests, entry.uploaded_blobs, entry.image = [], [], [], None
    entry.former_tag_digest = None
    await capture.save()


def leftovers(capture: Capture) -> dict[str, object]:
    """What a capture has, or may have, in the registry: fields for a log."""
    entry = capture.entry
    destination = entry.request.destination
    place = (
        f"{destination.registry.host}/{destination.repository}" if isinstance(destination, RegistryDestination) else ""
    )
    return {"repository": place, "manifests": entry.manifests, "blobs": entry.uploaded_blobs}


async def _signing(request: CaptureRequest, destination: RegistryDestination) -> Signing | None:
    """The key is in the request that runs, never in the journal's."""
    if destination.signing_key is None:
        return None
    return Signing(await local_signer(destination.signing_key), request.annotations)


def architecture() -> str:
    """The node's architecture as images name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _source(entry: JournalEntry) -> ArchiveSource:
    archive = Path(entry.archive_path or "")
    images = images_of(entry)
    return archive if images is None else SplitArchive(archive, images)


def _processor() -> dict[str, str]:
    """This node's processor as an image's annotation; empty where the kernel names no features."""
    features = cpu_features(Path("/proc/cpuinfo").read_text())
    return {CPU_FEATURES: features} if features else {}


def _frozen_on(processor: Mapping[str, str], facts: ArchiveFacts) -> ArchiveFacts:
    """The facts from which whoever gets the archive builds its image."""
    return facts.model_copy(update={"annotations": {**facts.annotations, **processor}})


def _options(request: CaptureRequest) -> ArchiveOptions:
    return ArchiveOptions(include_log=request.include_log, max_bytes=request.max_archive_bytes)


@asynccontextmanager
async def _told(capture: Capture) -> AsyncIterator[Progress]:
    """A cheap callback for each chunk; twice a second the latest figures become an event, and so do the last ones."""
    latest: tuple[int, int | None] | None = None
    told: tuple[int, int | None] | None = None

    def moved(done: int, total: int | None) -> None:
        nonlocal latest
        latest = (done, total)

    async def tell() -> None:
        nonlocal told
        if latest is not None and latest != told:
            told = latest
            await capture.tell(done=latest[0], total=latest[1])

    async def tell_on() -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            await tell()

    teller = asyncio.create_task(tell_on())  # owned by this block: it never outlives it
    try:
        yield moved
    finally:
        teller.cancel()
        await asyncio.wait({teller})
    await tell()
