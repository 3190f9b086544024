"""Who owns whom: lists of one namespace's objects, and the way from a pod up its owners."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ksnap.kube.connection import ClusterConnection, Json
from ksnap.kube.discovery import ApiResource, find_resource
from ksnap.kube.selectors import NOTHING

# Deeper chains of owners are not known: pod, job, cronjob, and an operator's two or three.
MOST_OWNERS = 6


async def list_selected(api: ClusterConnection, path: str, selector: str = "") -> list[Json]:
    """What a label selector selects; everything without one."""
    if selector == NOTHING:
        return []
    params = {"labelSelector": selector} if selector else {}
    return list((await api.get(path, what=f"list of {path}", params=params)).get("items") or [])


def controlled(found: Iterable[Json], uids: set[str]) -> list[Json]:
    """Those whose controller is one of these."""
    return [
        each
        for each in found
        if any(
            owner.get("controller") and owner["uid"] in uids for owner in each["metadata"].get("ownerReferences") or []
        )
    ]


def uid_of(found: Json) -> str:
    """What owner references name it by."""
    return str(found["metadata"]["uid"])


@dataclass(slots=True)
class Climb:
    """Walks from pods up their owners; each kind on the way is listed once."""

    api: ClusterConnection
    namespace: str
    resources: list[ApiResource]
    target: str
    _owners: dict[tuple[str, str], dict[str, list[Json]]] = field(default_factory=dict)

    async def reaches(self, found: Json) -> bool:
        """Whether the target owns it, over however many steps."""
        references = found["metadata"].get("ownerReferences") or []
        for _ in range(MOST_OWNERS):
            if any(each["uid"] == self.target for each in references):
                return True
            references = [above for each in references for above in await self._above(each)]
        return False

    async def _above(self, reference: Json) -> list[Json]:
        """The owners of an owner; none where its kind is not known, or it is gone."""
        group = str(reference["apiVersion"]).rpartition("/")[0]
        kind = str(reference["kind"]).lower()
        if (group, kind) not in self._owners:
            self._owners[group, kind] = await self._owners_of(group, kind)
        return self._owners[group, kind].get(reference["uid"], [])

    async def _owners_of(self, group: str, kind: str) -> dict[str, list[Json]]:
        same_group = [each for each in self.resources if each.group == group and each.namespaced]
        resource = find_resource(same_group, kind)
        if resource is None:
            return {}
        found = await list_selected(self.api, resource.path(self.namespace))
        return {uid_of(each): each["metadata"].get("ownerReferences") or [] for each in found}
