"""This node's checkpoint images: what is there, what is being pulled, and one pull for all who want the same digest.

`async with Images(...)`: entering finds what is on the disk, leaving cancels the pulls, which then leave nothing.
A pull goes on while somebody waits for it or it was asked for as a prefetch. Nothing here knows HTTP or pods.
"""

import asyncio
from contextlib import AsyncExitStack

import structlog

from ksnap.agent.image_pull import ImageSource, PullProgress, pull_image
from ksnap.agent.image_store import CachedImage, ImageStore
from ksnap.agent.journal import wire_error
from ksnap.agent.metrics import IMAGE_PULLS, RESTORE_SECONDS
from ksnap.agent.settings import AgentSettings
from ksnap.agent.trusted_keys import TrustedKeys
from ksnap.errors import Conflict, InsufficientStorage, KsnapError, NotFound, NotPermitted, Unavailable
from ksnap.model.checkpoint_key import Workload
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageState, ImageStatus
from ksnap.registry.client import RegistryTimeouts

log = structlog.get_logger()

# Other places that are tried where the first one fails; and failures that are remembered for who asks.
_SOURCES_LIMIT = 8
_FAILED_LIMIT = 256
# Pulls that wait for their turn: past this, something asks for images without end.
_PULLS_LIMIT = 200


class _Pull:
    """One image on its way."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self.sources: list[ImageSource] = []
        self.progress = PullProgress()
        self.prefetched = False
        self.waiters = 0
        self.task: asyncio.Task[CachedImage | KsnapError] | None = None

    def offer(self, source: ImageSource) -> None:
        """Another place to have it from, should the first one fail."""
        if source not in self.sources and len(self.sources) < _SOURCES_LIMIT:
            self.sources.append(source)

    def state(self) -> ImageState:
        return ImageState(
            digest=self.digest,
            status=ImageStatus.PULLING,
            bytes_done=self.progress.bytes_done,
            bytes_total=self.progress.bytes_total,
        )


class Images:
    """All methods are for the event loop."""

    def __init__(self, settings: AgentSettings, *, timeouts: RegistryTimeouts | None = None) -> None:
        self.store = ImageStore(
            settings.state_dir, limit_bytes=settings.image_cache_bytes, min_free_bytes=settings.min_free_bytes
        )
        self.trusted = TrustedKeys(settings.trusted_keys_dir)
        self._timeouts = timeouts
        self._slots = asyncio.Semaphore(settings.max_pulls)
        self._pulls: dict[Digest, _Pull] = {}
        self._failed: dict[Digest, KsnapError] = {}
        self._group = asyncio.TaskGroup()
        self._stack = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> "Images":
        await self.store.open()
        await self._stack.enter_async_context(self._group)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.interrupt()
        await self._stack.aclose()

    async def interrupt(self) -> None:
        """The agent ends: nothing new is pulled, and what is under way leaves nothing."""
        self._closing = True
        for pull in list(self._pulls.values()):
            await self._abandon(pull)

    def state(self, digest: Digest) -> ImageState:
        """Where it stands; absent is a state like the others."""
        if (pull := self._pulls.get(digest)) is not None:
            return pull.state()
        if (image := self.store.get(digest)) is not None:
            return ImageState(digest=digest, status=ImageStatus.READY, size_bytes=image.size_bytes)
        if (error := self._failed.get(digest)) is not None:
            return ImageState(digest=digest, status=ImageStatus.FAILED, error=wire_error(error))
        return ImageState(digest=digest, status=ImageStatus.ABSENT)

    def states(self) -> list[ImageState]:
        """All that are not absent."""
        ready = [each.digest for each in self.store.all()]
        return [self.state(each) for each in dict.fromkeys([*self._pulls, *ready, *self._failed])]

    async def prefetch(
        self, image: ImageRef, access: RegistryAccess, *, public_keys: str = "", workload: Workload | None = None
    ) -> ImageState:
        """Have it here soon; answers at once. One that failed before is tried again. For a workload: one that is here
        already is asked for its signature again, if no key that the node trusts now has vouched for it."""
        source = ImageSource(image, access, public_keys, workload)
        found = self.store.get(source.digest)
        if found is not None and await self.store.touch(found) and (workload is None or await self.is_vouched(found)):
            return self.state(source.digest)
        self._pull(source).prefetched = True
        return self.state(source.digest)

    async def is_vouched(self, image: CachedImage) -> bool:
        """Whether a key that the node trusts now says whose image it is."""
        return image.signed_by in {each.key_id for each in await self.trusted.current()}

    async def ensure(self, image: ImageRef, access: RegistryAccess) -> CachedImage:
        """Have it here now. Whoever is cancelled while waiting takes nothing from the others who wait."""
        source = ImageSource(image, access)
        if (found := self.store.get(source.digest)) is not None and await self.store.touch(found):
            return found
        return await self._wait(self._pull(source))

    async def arrived(self, digest: Digest) -> tuple[CachedImage, PullProgress]:
        """The image, once a pull that is under way has ended; NotFound if there is neither. With it the pull's figures,
        all zero where nothing had to be waited for."""
        pull = self._pulls.get(digest)
        if pull is not None:
            return await self._wait(pull), pull.progress
        found = self.store.get(digest)
        if found is not None and await self.store.touch(found):
            return found, PullProgress()
        failed = self._failed.get(digest)
        if failed is not None:
            raise _again(failed)
        raise NotFound("The image is not on this node", details=digest, hint="Prefetch it through the agent")

    async def drop(self, digest: Digest) -> None:
        """Forget it: its files, its pull, its failure. Conflict while a container's start uses it or waits for it."""
        pull = self._pulls.get(digest)
        if self.store.is_held(digest) or (pull is not None and pull.waiters):
            raise Conflict(
                "The image is in use", details=digest, hint="A container is being started from it: try again later"
            )
        self._failed.pop(digest, None)
        if pull is not None:
            await self._abandon(pull)
        if (found := self.store.get(digest)) is not None:
            await self.store.remove(found)

    def _pull(self, source: ImageSource) -> _Pull:
        """The pull that is under way, or a new one."""
        pull = self._pulls.get(source.digest)
        if pull is None:
            if self._closing or len(self._pulls) >= _PULLS_LIMIT:
                raise Unavailable("The agent pulls no image now", hint="Try again in some seconds")
            pull = _Pull(source.digest)
            self._pulls[source.digest] = pull
            self._failed.pop(source.digest, None)
            pull.offer(source)
            pull.task = self._group.create_task(self._run(pull), name=f"pull {source.digest}")
        else:
            pull.offer(source)
        return pull

    async def _wait(self, pull: _Pull) -> CachedImage:
        task = pull.task
        if task is None:
            raise RuntimeError("a pull without its task")
        pull.waiters += 1
        try:
            await asyncio.wait([task])
        finally:
            pull.waiters -= 1
            if not pull.waiters and not pull.prefetched and not task.done():
                # Nobody wants it any more. Its end is waited for by whoever ends the agent.
                self._forget(pull)
                task.cancel()
        if task.cancelled():
            raise Unavailable("The image's pull was given up", details=pull.digest, hint="Try again")
        outcome = task.result()
        if isinstance(outcome, KsnapError):
            raise _again(outcome)
        return outcome

    async def _abandon(self, pull: _Pull) -> None:
        """Cancel a pull and wait until nothing of it is left."""
        self._forget(pull)
        if pull.task is not None:
            pull.task.cancel()
            await asyncio.wait([pull.task])

    def _forget(self, pull: _Pull) -> None:
        if self._pulls.get(pull.digest) is pull:
            del self._pulls[pull.digest]

    async def _run(self, pull: _Pull) -> CachedImage | KsnapError:
        """The root of a pull's task: its failure is a value, so that it does not end the others' group."""
        outcome: CachedImage | KsnapError
        try:
            async with self._slots:
                outcome = await self._pull_from_any(pull)
        except asyncio.CancelledError:
            IMAGE_PULLS.labels(outcome="cancelled").inc()
            log.info("pull_cancelled", digest=pull.digest)
            raise
        except Exception as exc:
            log.exception("pull_broke", digest=pull.digest)
            outcome = KsnapError("The agent failed to pull an image", details=type(exc).__name__, hint="See its log")
        finally:
            self._forget(pull)
        if isinstance(outcome, KsnapError) and not isinstance(outcome, NotPermitted):
            # That somebody may not have it says nothing about the image.
            self._remember(pull.digest, outcome)
        IMAGE_PULLS.labels(outcome="failed" if isinstance(outcome, KsnapError) else "succeeded").inc()
        return outcome

    async def _pull_from_any(self, pull: _Pull) -> CachedImage | KsnapError:
        """From the first place that has it; more places may be offered meanwhile."""
        tried, error = 0, KsnapError("The image has no place to come from", details=pull.digest)
        while tried < len(pull.sources):
            source = pull.sources[tried]
            tried += 1
            place = f"{source.image.host}/{source.image.repository}"
            try:
                trusted = await self.trusted.current()
                image = await pull_image(source, self.store, pull.progress, trusted=trusted, timeouts=self._timeouts)
            except KsnapError as failed:
                log.warning(
                    "image_not_pulled", digest=pull.digest, place=place, reason=failed.message, details=failed.details
                )
                error = failed
                if isinstance(failed, InsufficientStorage):
                    # It is no smaller elsewhere.
                    break
                continue
            figures = {"fetch": pull.progress.fetch_s, "unpack": pull.progress.unpack_s}
            for part, seconds in figures.items():
                RESTORE_SECONDS.labels(part=part).observe(seconds)
            log.info(
                "image_pulled",
                digest=pull.digest,
                place=place,
                size_bytes=image.size_bytes,
                **{f"{part}_ms": round(seconds * 1000) for part, seconds in figures.items()},
            )
            return image
        return error

    def _remember(self, digest: Digest, error: KsnapError) -> None:
        while len(self._failed) >= _FAILED_LIMIT:
            del self._failed[next(iter(self._failed))]
        # Without its traceback, whose frames know the account that it was pulled with.
        self._failed[digest] = _again(error)


def _again(error: KsnapError) -> KsnapError:
    """The same error anew: one that is raised for each who waits would grow a traceback for each."""
    return type(error)(error.message, details=error.details, hint=error.hint)
