"""Whether a pod that was frozen is deleted, so that its successor starts from the checkpoint (contract, section 6).

Deletion is the exception: each condition that fails keeps the pod and says why. It is done by eviction, so that
PodDisruptionBudgets hold, of this very pod, and once for a key, so that nothing can go round in circles.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ksnap.checkpoints.images import location_of
from ksnap.configuration.registries import Registries
from ksnap.errors import InvalidInput, KsnapError, NotFound
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.pods import pods_path
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from ksnap.store.tables import Checkpoint
from ksnap.watchers.rules import controller_of

# A budget allows another eviction when another pod has become Ready.
AGAIN_S = 5.0
PATIENCE_S = 60.0


class HookCoverage(Protocol):
    """Whether a running SnapHook patches the pods of a namespace."""

    def covers(self, cluster: str, namespace: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Deleting:
    """Checks and evicts."""

    registries: Registries
    hooks: HookCoverage

    async def obstacle(self, pod: Mapping[str, Any], checkpoint: Checkpoint) -> str:
        """Why the pod stays; empty if it may go."""
        if not controller_of(pod):
            return "it has no controller that would make it again"
        if pod["metadata"]["uid"] != checkpoint.pod_uid:
            return "another pod has its name by now"
        if not self.hooks.covers(checkpoint.cluster_name, checkpoint.namespace):
            return "no running SnapHook covers its namespace: its successor would start cold"
        return await self._unverified(checkpoint)

    async def _unverified(self, checkpoint: Checkpoint) -> str:
        """Ask the registry itself for the image, by its digest."""
        place = location_of(checkpoint)
        if place is None:
            return "its checkpoint has no image in a registry"
        try:
            registry = await self.registries.get(place.registry_name)
            async with open_registry(registry.access) as client:
                found = await Manifests(client, place.repository).head(place.digest)
        except KsnapError as error:
            return f"the image cannot be verified: {error.message}"
        return "" if found == place.digest else f"the registry has no image {place.digest}"


async def evict(
    connection: ClusterConnection, namespace: str, pod: str, *, uid: str, patience_s: float = PATIENCE_S
) -> str:
    """Evict this very pod; why not, if it stays. One that is gone is as good."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
    until = time.monotonic() + patience_s
    while True:
        try:
            await connection.post(f"{pods_path(namespace, pod)}/eviction", body, what=f"eviction of pod {pod}")
        except NotFound:
            return ""
        except ClusterUnreachable as error:  # also 429: a budget forbids it now
            if time.monotonic() > until:
                return f"it could not be evicted: {error.details or error.message}"
        except InvalidInput as error:
            return f"it could not be evicted: {error.details or error.message}"
        except KsnapError as error:
            return f"it could not be evicted: {error.message}: {error.details}"
        else:
            return ""
        await asyncio.sleep(AGAIN_S)
