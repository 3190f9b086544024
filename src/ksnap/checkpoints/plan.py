"""Decides whether and how a container can be frozen, from what the API server says of its pod. Pure.

Everything that can be refused is refused here, before anything was made anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.errors import Conflict, InvalidInput, NotFound
from ksnap.model.checkpoint_key import CheckpointKey, checkpoint_key


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """One container to freeze, and all that a capture of it needs to be told."""

    cluster: str
    namespace: str
    pod: str
    pod_uid: str
    node: str
    container: str
    container_id: str
    first_container: bool
    """The pod's first container has the plain image tag (contract, section 6)."""


def plan_capture(
    cluster: str, pod: Mapping[str, Any], *, node: str | None = None, container: str | None = None
) -> CapturePlan:
    """What to freeze. InvalidInput, NotFound or Conflict say what is in the way."""
    metadata, spec = pod["metadata"], pod["spec"]
    where = f"pod {metadata['namespace']}/{metadata['name']}"
    definition = _container(spec.get("containers") or [], container, where)
    on_node = _node(spec, node, where)
    _must_run(pod, where)
    status = _named(pod["status"].get("containerStatuses") or [], definition["name"])
    return CapturePlan(
        cluster=cluster,
        namespace=metadata["namespace"],
        pod=metadata["name"],
        pod_uid=metadata["uid"],
        node=on_node,
        container=definition["name"],
        container_id=_container_id(status, definition["name"], where),
        first_container=spec["containers"][0]["name"] == definition["name"],
    )


def plan_key(plan: CapturePlan, pod: Mapping[str, Any], *, architecture: str) -> CheckpointKey:
    """The checkpoint key of a planned capture; the architecture is known to the node's agent."""
    return checkpoint_key(plan.cluster, pod, plan.container, architecture=architecture)


def _container(containers: Sequence[Mapping[str, Any]], name: str | None, where: str) -> Mapping[str, Any]:
    names = ", ".join(each["name"] for each in containers)
    if name is None:
        if len(containers) != 1:
            raise InvalidInput(
                "The container must be named",
                details=f"container_name: {where} has several containers: {names}",
                hint="Give container_name",
            )
        return containers[0]
    found = _named(containers, name)
    if found is None:
        raise NotFound("Container not found", details=f"{where} has no container {name!r}, but: {names}")
    return found


def _node(spec: Mapping[str, Any], node: str | None, where: str) -> str:
    actual = spec.get("nodeName")
    if not actual:
        raise Conflict("The pod runs on no node yet", details=where, hint="Wait until it is scheduled")
    if node is not None and node != actual:
        raise InvalidInput(
            "The pod runs on another node",
            details=f"node_name: {where} runs on {actual}, not on {node}",
            hint="Leave node_name out, or give the pod's own",
        )
    return str(actual)


def _must_run(pod: Mapping[str, Any], where: str) -> None:
    if pod["metadata"].get("deletionTimestamp"):
        raise Conflict("The pod is being deleted", details=where)
    phase = pod.get("status", {}).get("phase", "Unknown")
    if phase != "Running":
        raise Conflict(
            "The pod is not running", details=f"{where} is {phase}", hint="Only a running container can be frozen"
        )


def _container_id(status: Mapping[str, Any] | None, container: str, where: str) -> str:
    state = (status or {}).get("state") or {}
    if status is None or "running" not in state or not status.get("containerID"):
        said = next(iter(state), "not started")
        why = (state.get(said) or {}).get("reason", "")
        raise Conflict(
            "The container is not running",
            details=f"container {container} of {where} is {said}" + (f" ({why})" if why else ""),
            hint="Only a running container can be frozen",
        )
    return str(status["containerID"])


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((each for each in entries if each.get("name") == name), None)
