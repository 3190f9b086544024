"""The pods of this node that wish to be restored, as the API server shows them; kept lean, and known to who waits.

A pod is known here once the pulls that it wishes for have begun, so that whoever finds it finds them under way too.
What its author wrote is a wish (`restore.ksnap.dev/`), a permit is to be verified (`admission`): nothing is believed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from ksnap.model.checkpoint_key import owner_of
from ksnap.model.restore_annotations import PERMIT_DOMAIN, RESTORE_DOMAIN
from ksnap.oci.restore_permit import MAX_BYTES

log = structlog.get_logger()

# As the runtime's message has it (`restore_messages`).
_WISH_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class SightedPod:
    """What is kept of a pod."""

    namespace: str
    name: str
    uid: str
    owner: str
    """`Kind/name`, as in the checkpoint key."""
    wishes: Mapping[str, str]
    """Container -> host/repository@digest."""
    permits: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Container -> signed text."""
    pull_secrets: tuple[str, ...] = ()
    is_pending: bool = False
    """Not all of it has started yet, as far as its phase tells."""


def sighted_pod(pod: Mapping[str, Any]) -> SightedPod | None:
    """A pod as the API server answers it; None for one that no runtime of ours could restore."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    wishes = _texts(annotations, RESTORE_DOMAIN, spec, limit=_WISH_LIMIT)
    if not wishes or not spec.get("runtimeClassName"):
        return None
    return SightedPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        owner=owner_of(metadata),
        wishes=wishes,
        permits=_texts(annotations, PERMIT_DOMAIN, spec, limit=MAX_BYTES),
        pull_secrets=tuple(each["name"] for each in spec.get("imagePullSecrets") or [] if each.get("name")),
        is_pending=(pod.get("status") or {}).get("phase", "Pending") == "Pending",
    )


def _texts(annotations: Mapping[str, str], domain: str, spec: Mapping[str, Any], *, limit: int) -> dict[str, str]:
    """By container, of those that there are: annotations may have 256 KiB, and name anything."""
    named = [each["name"] for kind in ("containers", "initContainers") for each in spec.get(kind) or []]
    found = {name: annotations.get(f"{domain}/{name}", "") for name in named}
    return {name: text for name, text in found.items() if 0 < len(text) <= limit}


class Sightings:
    """`begin` is told of each pod that is about to start, and of each that changed its wishes before it did."""

    def __init__(self, begin: Callable[[SightedPod], Awaitable[None]]) -> None:
        self._begin = begin
        self._pods: dict[tuple[str, str], SightedPod] = {}
        self._changed = asyncio.Event()

    async def saw(self, pod: Mapping[str, Any]) -> None:
        """A pod that is new or has changed."""
        metadata = pod["metadata"]
        found = sighted_pod(pod)
        if found is None:
            self.lost(metadata["namespace"], metadata["name"])
            return
        former = self._pods.get((found.namespace, found.name))
        is_news = former is None or (former.uid, former.wishes) != (found.uid, found.wishes)
        if found.is_pending and is_news:
            log.info("pod_sighted", pod=f"{found.namespace}/{found.name}", images=sorted(set(found.wishes.values())))
            await self._begin(found)
        self._pods[found.namespace, found.name] = found
        # Whoever waits looks again; later ones wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    def lost(self, namespace: str, name: str) -> None:
        """A pod that is gone, or wishes for nothing any more."""
        self._pods.pop((namespace, name), None)

    def keep_only(self, pods: Collection[tuple[str, str]]) -> None:
        """Forget all but these, by namespace and name: a new list has come."""
        self._pods = {name: each for name, each in self._pods.items() if name in pods}

    async def sighting(self, namespace: str, name: str, uid: str) -> SightedPod:
        """This very pod, as soon as it is known; the caller has the deadline."""
        while True:
            found = self._pods.get((namespace, name))
            if found is not None and found.uid == uid:
                return found
            await self._changed.wait()
