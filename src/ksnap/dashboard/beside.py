"""Short lists that one detail looks at (a service's endpoints, a namespace's quotas): asked for as the caller, since a
watch of all of them would cost more than it saves."""

from collections.abc import Mapping
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.statuses import ErrStatus, add_error
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.watch.resource import Resource

Json = dict[str, Any]


async def list_beside(
    at: ClusterAsCaller,
    resource: Resource[Any],
    namespace: str,
    errors: list[ErrStatus],
    *,
    params: Mapping[str, str] | None = None,
) -> list[Json]:
    """The objects; none if the caller may not list them, which `errors` then says."""
    try:
        found = await at.api.get(resource.path(namespace), what=f"list of {resource}", params=params)
    except KubeRefusal as error:
        if error.status != 403:
            raise
        add_error(errors, error)
        return []
    return found.get("items") or []
