"""What of a service is read at the API server."""

from ksnap.dashboard.beside import list_beside
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import read
from ksnap.dashboard.kinds.network.services import SERVICES, SLICES, SLICES_OF, service_detail
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.statuses import ErrStatus


async def read_service(at: ClusterAsCaller, namespace: str, name: str) -> Row:
    """ServiceDetail."""
    found = await read(at, SERVICES.resource, name, namespace)
    errors: list[ErrStatus] = []
    of_it = {"labelSelector": SLICES_OF.format(name)}
    slices = await list_beside(at, SLICES, namespace, errors, params=of_it)
    return {**service_detail(found, slices), "errors": errors}
