"""A container in a pod, whichever of the three lists it is in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = (
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A container of a pod."""

    state: Mapping[str, Any]
    """Kubernetes' ContainerState: one key of `running`, `waiting`, `terminated`; none before the kubelet knows it."""

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def standing(self) -> str:
        """In a few words."""
        for word, state in self.state.items():
            reason = state.get("reason") if isinstance(state, Mapping) else None
            return f"{word} ({reason})" if reason else word
        return "not started yet"


def find(pod: Mapping[str, Any], name: str) -> Found | None:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for listed, statuses in _KINDS:
        if any(each.get("name") == name for each in spec.get(listed) or []):
            states = [each.get("state") for each in status.get(statuses) or [] if each.get("name") == name]
            return Found(states[0] if states and states[0] else {})
    return None
