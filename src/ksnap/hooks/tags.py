"""What the tags of frozen images name now, asked of their registries in the background.

A tag that was moved leaves a workload's template as it was though a new pod would run another image; its checkpoint is
then not used. All digests that a runtime may report for an image count: of its index, its manifests, their
configurations. A registry that does not answer says nothing: the template alone decides then, and what was learned
before still holds.
"""

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from ksnap.configuration.checks import registry_location
from ksnap.configuration.registries import Registries
from ksnap.errors import KsnapError, NotFound, RegistryConnectionFailed
from ksnap.model.backoff import Backoff
from ksnap.model.image import ImageRef, parse_image
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import RegistryTimeouts, open_registry
from ksnap.registry.manifests import Manifests, StoredManifest

EVERY_S = 60.0
AT_ONCE = 4
ONE_IMAGE_S = 20.0
# A registry that is away is asked again a minute later anyhow.
_ONCE = Backoff(attempts=1)
_TIMEOUTS = RegistryTimeouts(connect_s=5.0, idle_s=10.0)
# Images are named so where the registry's host is left out (distribution's reference grammar).
_DOCKER = "docker.io"
_DOCKER_HOSTS = {_DOCKER, "index.docker.io"}
_DOCKER_REGISTRY = "registry-1.docker.io"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    head: str
    """The digest that the tag leads to."""
    digests: frozenset[str]


class Tags:
    """`run` keeps it true; `allows` answers from memory."""

    def __init__(self, registries: Registries, *, enabled: bool = True) -> None:
        self._registries = registries
        self._enabled = enabled
        self._followed: frozenset[str] = frozenset()
        self._known: dict[str, _Known] = {}
        self._news = asyncio.Event()

    def allows(self, image: str, digest: str) -> bool:
        """Whether a pod with this image may run what that digest names, as far as is known."""
        known = self._known.get(image)
        return known is None or digest in known.digests

    def follow(self, images: Collection[str]) -> None:
        """These are the images to ask for; those named by a digest cannot move."""
        wanted = frozenset(each for each in images if "@" not in each)
        if wanted - self._followed:
            self._news.set()
        self._followed = wanted
        for each in self._known.keys() - wanted:
            del self._known[each]

    def learn(self, image: str, head: str, digests: Collection[str]) -> None:
        """Its tag leads to `head`, and a pod with it may run any of these."""
        self._known[image] = _Known(head, frozenset(digests))

    async def run(self) -> None:
        """Ask each minute, and at once for an image that is new."""
        while self._enabled:
            self._news.clear()
            await self.look()
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for each in sorted(self._followed):
                group.create_task(self._look_at(each, gate))

    async def _look_at(self, image: str, gate: asyncio.Semaphore) -> None:
        try:
            async with gate, asyncio.timeout(ONE_IMAGE_S):
                found = await self._resolve(image)
        except (KsnapError, TimeoutError) as error:
            log.info("hook_tag_not_resolved", image=image[:300], reason=str(error) or "no answer in time")
            return
        if image in self._followed:
            self.learn(image, found.head, found.digests)

    async def _resolve(self, image: str) -> _Known:
        reference = located(image)
        before = self._known.get(image)
        access = await self._access(reference.host)
        async with open_registry(access, timeouts=_TIMEOUTS, backoff=_ONCE) as client:
            manifests = Manifests(client, reference.repository)
            tag = reference.tag or "latest"
            head = await manifests.head(tag, foreign=True)
            if head is None:  # gone, or not for us to see: that tells nothing of what a node has
                raise NotFound("The tag is not there", details=str(reference))
            if before is not None and before.head == head:
                return before
            return _Known(head, frozenset(await _digests(manifests, await manifests.get(head, foreign=True))))

    async def _access(self, host: str) -> RegistryAccess:
        """The account of a configured registry at that host, else none."""
        for each in await self._registries.list():
            if registry_location(each.url).host == host:
                return (await self._registries.get(each.name)).access
        return RegistryAccess(host=host)


def located(image: str) -> ImageRef:
    """Where an image's name leads, as runtimes understand it: Docker's registry if no host is named."""
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        image = f"{_DOCKER}/{image}" if slash else f"{_DOCKER}/library/{image}"
    reference = parse_image(image)
    if reference.host in _DOCKER_HOSTS:
        return ImageRef(_DOCKER_REGISTRY, reference.repository, reference.tag, reference.digest)
    return reference


async def _digests(manifests: Manifests, found: StoredManifest, *, nested: bool = False) -> set[str]:
    """Of a manifest or an index all that may be told as the image's digest."""
    try:
        document = json.loads(found.data)
        configurations = {str(document["config"]["digest"])} if "config" in document else set()
        children = [str(each["digest"]) for each in document.get("manifests") or []]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryConnectionFailed("The registry's manifest cannot be read", details=str(found.digest)) from error
    digests = {str(found.digest), *configurations, *children}
    for each in [] if nested else children:
        digests |= await _digests(manifests, await manifests.get(each, foreign=True), nested=True)
    return digests
