"""Who may be restored from which image (ADR 13): the one place that decides it.

An annotation is only a wish. A container is admitted by the server's word to this agent (`permits`), by a permit that a
trusted key signed for its very pod, or because a key that the node itself trusts says that the image is of the pod's
own workload. Pods are known from the API server (`sightings`): what a pod says of itself to a runtime is not asked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from ksnap.agent.permits import Permits
from ksnap.agent.restore_messages import PrepareRequest
from ksnap.agent.settings import AgentSettings
from ksnap.agent.sightings import SightedPod, Sightings
from ksnap.agent.trusted_keys import TrustedKeys
from ksnap.errors import NotPermitted
from ksnap.model.checkpoint_key import Workload
from ksnap.model.digest import Digest
from ksnap.oci.restore_permit import RestorePermit, check_permit
from ksnap.oci.signing_keys import VerifyingKey, parse_public_keys

log = structlog.get_logger()

# Images whose keys came with a request and are remembered; the oldest go first.
_HANDED_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Admitted:
    """By what right."""

    by: Literal["server", "permit", "workload"]
    pod: SightedPod | None = None
    """None: nobody had to look."""
    workload: Workload | None = None
    """The image must be of this workload still, by a key that the node trusts."""
    permit_refused: str = ""
    """Why the permit that the pod has as well does not hold."""


class Admission:
    """`sightings` is None where nobody watches pods: then the server's word alone counts."""

    def __init__(
        self, settings: AgentSettings, permits: Permits, trusted: TrustedKeys, sightings: Sightings | None
    ) -> None:
        self._cluster = settings.cluster_name
        self._permits = permits
        self._trusted = trusted
        self._sightings = sightings
        self._handed: OrderedDict[Digest, str] = OrderedDict()

    def take_keys(self, digest: Digest, public_keys: str) -> None:
        """Keys that came with the server's request for an image: they hold for that image alone."""
        if public_keys:
            self._handed[digest] = public_keys
            self._handed.move_to_end(digest)
            if len(self._handed) > _HANDED_LIMIT:
                self._handed.popitem(last=False)

    def keys_for(self, digest: Digest) -> str:
        """Those keys, as PEM; empty if there are none."""
        return self._handed.get(digest, "")

    async def admit(self, request: PrepareRequest, digest: Digest) -> Admitted | None:
        """By what right this very container may be restored; None or NotPermitted if by none.

        May wait for the pod's sighting, for a runtime can be faster than a watch: the caller has the deadline.
        """
        if self._permits.has(digest, namespace=request.namespace, pod=request.pod, container=request.container):
            return Admitted("server")
        if self._sightings is None or not self._cluster:
            return None
        if not await self._trusted.current() and digest not in self._handed:
            return None
        pod = await self._sightings.sighting(request.namespace, request.pod, request.pod_uid)
        return await self.admit_pod(pod, request.container, digest)

    async def admit_pod(self, pod: SightedPod, container: str, digest: Digest) -> Admitted:
        """The same for a pod that was seen."""
        own = await self._trusted.current()
        refused = ""
        if (permit := pod.permits.get(container)) is not None:
            wanted = RestorePermit(self._cluster, pod.namespace, pod.name, container, digest, pod.uid)
            try:
                permit_id = await asyncio.to_thread(_check, permit, own, self.keys_for(digest), wanted)
            except NotPermitted as error:
                refused = f"{error.message}: {error.details}"
            else:
                log.info("permit_held", permit=permit_id, pod=f"{pod.namespace}/{pod.name}/{container}", digest=digest)
                return Admitted("permit", pod)
        if not own or not self._cluster:
            raise NotPermitted(refused or "Nobody permitted this pod to be restored")
        return Admitted("workload", pod, Workload(self._cluster, pod.namespace, pod.owner, container), refused)


def _check(permit: str, own: Sequence[VerifyingKey], handed: str, wanted: RestorePermit) -> str:
    return check_permit(permit, [*own, *(parse_public_keys(handed) if handed else ())], wanted)
