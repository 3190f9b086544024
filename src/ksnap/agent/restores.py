"""Restores by the runtime engine, as the agent sees them: is the image there for who may have it, how did it go.

`prepare`, `outcome` and `ended` answer the runtime (`restore_socket`), the rest answers the server (`service`). A
refusal is an answer and no error: the runtime starts the container cold with its reason, and nothing here may make
that slower than the deadline that it gave.
"""

import asyncio

import structlog

from ksnap.agent.admission import Admission, Admitted
from ksnap.agent.image_pull import PullProgress, not_of
from ksnap.agent.image_store import CachedImage
from ksnap.agent.images import Images
from ksnap.agent.metrics import RESTORE_SECONDS, RESTORED_ENDS, RESTORES
from ksnap.agent.permits import Permits
from ksnap.agent.pod_events import PodEvents
from ksnap.agent.pull_accounts import PullAccounts
from ksnap.agent.restore_failures import End, RestoreFailures
from ksnap.agent.restore_messages import (
    EndReport,
    OutcomeReport,
    Prepared,
    PrepareReply,
    PrepareRequest,
    Reason,
    Refusal,
)
from ksnap.agent.settings import AgentSettings
from ksnap.agent.sightings import SightedPod, Sightings
from ksnap.errors import CheckpointFailed, ImageUntrusted, InsufficientStorage, InvalidInput, KsnapError, NotPermitted
from ksnap.model.checkpoint_key import Workload, key_of_annotations
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef, parse_image
from ksnap.node.protocol import ImageRequest, ImageState, ImageStatus

log = structlog.get_logger()

_REASONS = frozenset(Reason)
# However patient a runtime says that it is.
_LONGEST_WAIT_S = 600.0


class Restores:
    """Made with entered `images`; call `open` first. With `accounts` somebody tells `sightings` of the node's pods."""

    def __init__(
        self, settings: AgentSettings, images: Images, events: PodEvents, accounts: PullAccounts | None = None
    ) -> None:
        self._images = images
        self._events = events
        self._accounts = accounts
        self._permits = Permits(settings.state_dir, ttl_s=settings.permit_ttl_s)
        self.sightings = Sightings(self._begin)
        self._admission = Admission(settings, self._permits, images.trusted, self.sightings if accounts else None)
        self._failures = RestoreFailures(
            settings.state_dir, limit=settings.max_restore_failures, proof_s=settings.restore_proof_s
        )

    async def open(self) -> None:
        await self._permits.open()
        await self._failures.open()

    async def prefetch(self, digest: Digest, request: ImageRequest) -> ImageState:
        """Have the image pulled, and permit it to the pods that it is for."""
        image = parse_image(f"{request.repository}@{digest}")
        if image.tag is not None or image.host != request.registry.host:
            raise InvalidInput(
                "The repository is not one of the registry",
                details=f"{request.repository[:200]!r}, registry {request.registry.host[:200]!r}",
                hint="Send host/repository, with the registry's own host",
            )
        self._admission.take_keys(digest, request.public_keys)
        await self._permits.grant(digest, request.pods)
        await self._images.prefetch(image, request.registry, public_keys=request.public_keys)
        return self.state(digest)

    def state(self, digest: Digest) -> ImageState:
        found = self._images.state(digest)
        return found.model_copy(update={"failures": self._failures.count(digest)})

    def states(self) -> list[ImageState]:
        return [self.state(Digest(each.digest)) for each in self._images.states()]

    async def drop(self, digest: Digest) -> ImageState:
        """Remove the image, and with it who may have it."""
        await self._images.drop(digest)
        await self._permits.revoke(digest)
        return self.state(digest)

    async def clear_failures(self, digest: Digest) -> ImageState:
        await self._failures.clear(digest)
        return self.state(digest)

    async def _begin(self, pod: SightedPod) -> None:
        """Have the images of a pod pulled that is about to start; why not is told where its containers are prepared."""
        for container, wish in pod.wishes.items():
            try:
                image = parse_image(wish)
                if image.digest is not None:
                    await self._pull(await self._admission.admit_pod(pod, container, image.digest), image)
            except KsnapError as error:
                log.info(
                    "prefetch_refused",
                    pod=f"{pod.namespace}/{pod.name}/{container}",
                    image=wish[:300],
                    reason=error.message,
                    details=error.details,
                )

    async def _pull(self, admitted: Admitted, image: ImageRef) -> None:
        """Begin to pull an image for a pod that was seen."""
        if self._accounts is None or admitted.pod is None or image.digest is None:
            return
        handed = "" if admitted.workload else self._admission.keys_for(image.digest)
        for access in await self._accounts.accesses(admitted.pod, image):
            await self._images.prefetch(image, access, public_keys=handed, workload=admitted.workload)

    async def prepare(self, request: PrepareRequest) -> PrepareReply:
        """The image's folder, held for this container; or why it is to be started cold."""
        try:
            image = parse_image(request.image)
        except InvalidInput as error:
            return _refused(Reason.IMAGE_UNAVAILABLE, error)
        if image.digest is None:
            return Refusal(reason=Reason.IMAGE_UNAVAILABLE, message=f"{request.image} is not named by its digest")
        reply = await self._prepare(request, image, image.digest)
        log.info(
            "restore_prepared",
            container=request.container_id,
            pod=f"{request.namespace}/{request.pod}/{request.container}",
            image=request.image,
            reason=reply.reason.value if isinstance(reply, Refusal) else "",
        )
        return reply

    async def _prepare(self, request: PrepareRequest, image: ImageRef, digest: Digest) -> PrepareReply:
        deadline = asyncio.get_running_loop().time() + min(request.deadline_ms / 1000, _LONGEST_WAIT_S)
        admitted = await self._admitted(request, image, digest, deadline)
        if isinstance(admitted, Refusal):
            return admitted
        if self._failures.too_many(digest):
            return Refusal(
                reason=Reason.TOO_MANY_FAILURES,
                message=f"Restoring this image failed {self._failures.count(digest)} times on this node",
            )
        # Held before it is there: it must not be evicted between its pull's end and the answer.
        await self._images.store.hold(request.container_id, digest)
        ready = False
        try:
            async with asyncio.timeout_at(deadline):
                if await self._is_wanting(admitted, digest):
                    await self._pull(admitted, image)
                found, progress = await self._images.arrived(digest)
                if admitted.workload is not None:
                    await self._must_be_of(admitted.workload, found, image)
            ready = True
        except TimeoutError:
            return self._late(digest)
        except KsnapError as error:
            return _refused(_reason_of(error), error, admitted.permit_refused)
        finally:
            if not ready:
                await self._images.store.release(request.container_id)
        return _prepared(found, progress)

    async def _admitted(
        self, request: PrepareRequest, image: ImageRef, digest: Digest, deadline: float
    ) -> Admitted | Refusal:
        try:
            async with asyncio.timeout_at(deadline):
                admitted = await self._admission.admit(request, digest)
        except TimeoutError:
            return Refusal(reason=Reason.DEADLINE_EXCEEDED, message="The agent has not seen this pod in time")
        except NotPermitted as error:
            return _refused(Reason.NOT_PERMITTED, error)
        return admitted or self._not_admitted(image, digest)

    async def _is_wanting(self, admitted: Admitted, digest: Digest) -> bool:
        """Whether nothing has it come: evicted or dropped since the pod was seen, or the pod had started when the agent
        did; or it is here without the word of a key that the node trusts now."""
        found = self._images.store.get(digest)
        if found is not None and admitted.workload is not None and not await self._images.is_vouched(found):
            return True
        return self._images.state(digest).status is ImageStatus.ABSENT

    async def _must_be_of(self, workload: Workload, found: CachedImage, image: ImageRef) -> None:
        """NotPermitted unless a key that the node trusts now has said that it is this workload's memory."""
        if not await self._images.is_vouched(found) or key_of_annotations(found.signed).workload != workload:
            raise not_of(workload, image)

    async def outcome(self, report: OutcomeReport) -> None:
        """Count it, tell it, let the image go."""
        digest = _digest_of(report.image)
        if report.restored:
            # Before anything is waited for: the container's end may be told a moment later.
            self._failures.restored(report.container_id, digest)
        await self._images.store.release(report.container_id)
        if not report.restored and report.reason == Reason.RESTORE_FAILED:
            await self._failures.add(digest)
        _measure(report)
        # All fields are the runtime's and its user's: none of them is a secret, and none is a label of its own.
        log.info(
            "restore_ended",
            restored=report.restored,
            reason=report.reason,
            message=report.message[:1000],
            container=report.container_id,
            pod=f"{report.namespace}/{report.pod}/{report.container}",
            image=report.image,
            prepare_ms=report.prepare_ms,
            apply_ms=report.apply_ms,
            criu_ms=report.criu_ms,
            total_ms=report.total_ms,
        )
        self._events.tell(report)

    async def ended(self, report: EndReport) -> None:
        """A container that cannot live with what it wakes up in is a failed restore; count it, tell it."""
        digest, lived_s = _digest_of(report.image), report.lived_ms / 1000
        end = await self._failures.ended(report.container_id, digest, lived_s=lived_s, signalled=report.signalled)
        RESTORED_ENDS.labels(reason=end).inc()
        failures = self._failures.count(digest)
        log.info(
            "restored_container_ended",
            end=end.value,
            lived_s=round(lived_s, 1),
            failures=failures,
            container=report.container_id,
            pod=f"{report.namespace}/{report.pod}/{report.container}",
            image=report.image,
        )
        if end is End.CRASHED:
            self._events.tell_crash(report, failures=failures, limit=self._failures.limit)

    async def abandoned(self, request: PrepareRequest) -> None:
        """The runtime went away before it had its answer."""
        await self._images.store.release(request.container_id)

    def _not_admitted(self, image: ImageRef, digest: Digest) -> Refusal:
        if self._images.state(digest).status in {ImageStatus.READY, ImageStatus.PULLING}:
            return Refusal(
                reason=Reason.NOT_PERMITTED,
                message=f"This pod is not among those for which {image} was prefetched, or its permit is over",
            )
        return Refusal(reason=Reason.IMAGE_UNAVAILABLE, message=f"{image} was not prefetched on this node")

    def _late(self, digest: Digest) -> Refusal:
        state = self._images.state(digest)
        done = f"{state.bytes_done:,} of {state.bytes_total:,}" if state.bytes_total else "no"
        return Refusal(
            reason=Reason.DEADLINE_EXCEEDED, message=f"The image is still being pulled: {done} bytes have come"
        )


def _prepared(image: CachedImage, progress: PullProgress) -> Prepared:
    return Prepared(
        path=str(image.path),
        fetch_ms=round(progress.fetch_s * 1000),
        unpack_ms=round(progress.unpack_s * 1000),
    )


def _refused(reason: Reason, error: KsnapError, more: str = "") -> Refusal:
    text = ". ".join(part.rstrip(". ") for part in (error.message, error.explanation, more) if part)
    return Refusal(reason=reason, message=text[:2000])


def _reason_of(error: KsnapError) -> Reason:
    """Why an image is not there, as the runtime's word."""
    if isinstance(error, InsufficientStorage):
        return Reason.DISK_FULL
    if isinstance(error, NotPermitted):
        return Reason.NOT_PERMITTED
    if isinstance(error, CheckpointFailed | InvalidInput | ImageUntrusted):
        # Its content is not what a checkpoint's may be.
        return Reason.IMAGE_UNTRUSTED
    return Reason.IMAGE_UNAVAILABLE


def _digest_of(image: str) -> str:
    return image.rpartition("@")[2]


def _measure(report: OutcomeReport) -> None:
    outcome = "restored" if report.restored else "cold"
    reason = report.reason if report.reason in _REASONS or not report.reason else "Other"
    RESTORES.labels(outcome=outcome, reason="" if report.restored else reason).inc()
    if report.restored:
        parts = {"prepare": report.prepare_ms, "apply": report.apply_ms, "criu": report.criu_ms}
        for part, milliseconds in {**parts, "total": report.total_ms}.items():
            RESTORE_SECONDS.labels(part=part).observe(milliseconds / 1000)
