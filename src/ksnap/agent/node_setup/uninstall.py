"""Takes the set-up back on every node, before helm deletes the chart: the DaemonSet itself is told to.

Each node's init container runs once more, with another word; when all of them have, nothing of ours is left on a node.
"""

import time
from collections.abc import Mapping
from typing import Any

import structlog

from ksnap.agent.node_setup.api import Api
from ksnap.errors import Unavailable

log = structlog.get_logger()

INIT_CONTAINER = "node-setup"
_LOOK_S = 1.0


def uninstall(api: Api, namespace: str, daemonset: str, *, deadline_s: float) -> None:
    """Roll the removal out and wait for its end."""
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{daemonset}"
    container = {"name": INIT_CONTAINER, "args": ["remove"]}
    # All nodes at once: no agent is needed any more.
    spec = {
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
        "template": {"spec": {"initContainers": [container]}},
    }
    api.patch(path, {"spec": spec})
    deadline = time.monotonic() + deadline_s
    while not rolled_out(found := api.get(path)):
        if time.monotonic() > deadline:
            status = found.get("status", {})
            raise Unavailable(
                "Not every node has taken its set-up back",
                details=f"{status.get('numberReady', 0)} of {status.get('desiredNumberScheduled', 0)} have",
                hint="Look at the pods of the DaemonSet; on a node that is gone nothing is left to take back",
            )
        time.sleep(_LOOK_S)
    log.info("node_setup_taken_back_everywhere")


def rolled_out(daemonset: Mapping[str, Any]) -> bool:
    """Whether the newest template's pods are ready on every node."""
    status: Mapping[str, int] = daemonset.get("status", {})
    generation: int = daemonset["metadata"]["generation"]
    wanted = status.get("desiredNumberScheduled", 0)
    return (
        status.get("observedGeneration", 0) >= generation
        and status.get("updatedNumberScheduled", 0) >= wanted
        and status.get("numberReady", 0) >= wanted
    )
