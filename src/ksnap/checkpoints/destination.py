"""Chooses where a checkpoint goes: the registry of the call, else the cluster's, else the blob store.

Registries and clusters are read at every use, in the step that needs them: credentials are in memory for as long as
one call lasts, and a change counts at once.
"""

from dataclasses import dataclass

from ksnap.configuration.clusters import DEFAULT_REPO, Clusters
from ksnap.configuration.registries import Registries, StoredRegistry
from ksnap.errors import ClusterNotFound, InvalidInput, NotFound
from ksnap.model.checkpoint_key import CheckpointKey
from ksnap.model.image import ImageRef, check_repository, check_tag
from ksnap.model.image_name import image_name
from ksnap.store.tables import Cluster

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class WantedImage:
    """What a caller asked for; None is generated."""

    registry: str | None = None
    """A registry configuration's name."""
    repository: str | None = None
    """Below the registry's own prefix."""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class ImageDestination:
    """A registry configuration by name (its account is read later) and the image there."""

    registry_name: str
    image: ImageRef

    def request(self) -> dict[str, str]:
        """As a job remembers it."""
        return {
            "kind": "registry",
            "registry": self.registry_name,
            "repository": self.image.repository,
            "tag": self.image.tag or "",
        }


class Destinations:
    """Chooses among the stored configurations."""

    def __init__(self, registries: Registries, clusters: Clusters) -> None:
        self._registries = registries
        self._clusters = clusters

    async def of_cluster(self, key: CheckpointKey, *, first_container: bool) -> ImageDestination | None:
        """Where a cluster's checkpoints go by themselves; None: the blob store."""
        cluster = await self._clusters.get(key.cluster)
        if cluster.registry_name is None:
            return None
        return await self.chosen(WantedImage(registry=cluster.registry_name), key, first_container=first_container)

    async def chosen(self, wanted: WantedImage, key: CheckpointKey, *, first_container: bool) -> ImageDestination:
        """The image that a caller wants, its missing parts generated (contract, section 6)."""
        registry = await self.registry(wanted.registry or DEFAULT, key.cluster)
        cluster = await self._known(key.cluster)
        prefix = _joined(registry.prefix, cluster.repo if cluster else DEFAULT_REPO)
        generated = image_name(registry.access.host, prefix, key, first_container=first_container)
        repository = generated.repository
        if wanted.repository:
            repository = repository_below(registry.prefix, wanted.repository, field="image_name")
        tag = check_tag(wanted.tag) if wanted.tag else generated.tag
        return ImageDestination(registry.name, ImageRef(registry.access.host, repository, tag))

    async def registry(self, name: str, cluster: str) -> StoredRegistry:
        """A registry by name; `default`, unless one is called so, is the cluster's, else the only one there is."""
        try:
            return await self._registries.get(name)
        except NotFound:
            if name != DEFAULT:
                raise
        known_cluster = await self._known(cluster)
        if known_cluster is not None and known_cluster.registry_name is not None:
            return await self._registries.get(known_cluster.registry_name)
        known = [each.name for each in await self._registries.list()]
        if len(known) != 1:
            raise InvalidInput(
                "No registry is the default",
                details=f"checkpoint_config_name: cluster {cluster} names none, and {len(known) or 'no'} registries "
                "are configured",
                hint="Name a registry, or give the cluster one (registry_name)",
            )
        return await self._registries.get(known[0])

    async def _known(self, name: str) -> Cluster | None:
        """None where a stored checkpoint has outlived its cluster's configuration: it can be pushed all the same."""
        try:
            return await self._clusters.get(name)
        except ClusterNotFound:
            return None


def repository_below(prefix: str, name: str, *, field: str) -> str:
    """A caller's own name for the image, below the registry's prefix; InvalidInput names the field that gave it."""
    try:
        check_repository(name)
        return check_repository(_joined(prefix, name))
    except InvalidInput as error:
        raise InvalidInput(error.message, details=f"{field}: {error.details}", hint=error.hint) from error


def _joined(*parts: str) -> str:
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
