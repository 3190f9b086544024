"""Requests to a pod before it is frozen, through the API server's proxy, as ksnap.

What the pod answers is not read; an answer below 500 means that it has done its work.
"""

import aiohttp

from ksnap.errors import CheckpointFailed
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import ClusterTimedOut
from ksnap.kube.paths import segment
from ksnap.watchers.definition import WarmUp


async def warm_up(connection: ClusterConnection, namespace: str, pod: str, wanted: WarmUp) -> None:
    """Ask as often as is wanted, one after another; CheckpointFailed at the first answer that is none."""
    path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}:{wanted.port}/proxy{wanted.path}"
    deadlines = aiohttp.ClientTimeout(total=wanted.timeout_s)
    for number in range(1, wanted.requests + 1):
        try:
            async with connection.request("GET", path, headers={"Accept": "*/*"}, deadlines=deadlines) as response:
                answer = f"HTTP {response.status}"
                refused = response.status >= 500 or response.status in {401, 403}
        except ClusterTimedOut:  # the pod's slowness, which waiting does not mend: a failed try
            answer, refused = f"no answer within {wanted.timeout_s:g} s", True
        if refused:
            raise CheckpointFailed(
                "The pod could not be warmed up",
                details=f"request {number} of {wanted.requests} to port {wanted.port}: {answer}",
                hint="Correct the watcher's warm_up; ksnap's account needs the right get pods/proxy",
            )
