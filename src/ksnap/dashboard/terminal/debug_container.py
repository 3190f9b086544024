"""An ephemeral debug container, for images without a shell (ours; KEP-277, as `kubectl debug --target`).

It shares the process namespace of the container that it is for, and its first process is the terminal's: when that
ends, the container has. Kubernetes has no call to take it out of its pod again.
"""

import asyncio
import secrets
import string
from collections.abc import Mapping
from typing import Any

from ksnap.dashboard.terminal.containers import find
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.screen import Screen
from ksnap.errors import KsnapError
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.pods import pods_path

STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
"""Adds to the list by name, whatever else is added meanwhile."""
# Its image may have to be pulled first.
START_S = 180.0
LOOK_EVERY_S = 1.0
# Waiting does not help where the kubelet says so.
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})
_LETTERS = string.ascii_lowercase + string.digits


class DebugContainerFailed(KsnapError):
    """It did not start."""


async def add(api: ClusterConnection, namespace: str, pod: str, *, target: str, image: str, shell: str) -> str:
    """Ask for one; its name. What it runs without a `shell` is its image's own command."""
    name = "debugger-" + "".join(secrets.choice(_LETTERS) for _ in range(5))
    container: dict[str, Any] = {"name": name, "image": image, "targetContainerName": target}
    container |= {"stdin": True, "tty": True, "terminationMessagePolicy": "File"}
    if shell:
        container["command"] = [shell]
    await api.patch(
        pods_path(namespace, pod) + "/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [container]}},
        what=f"debug container in pod {namespace}/{pod}",
        content_type=STRATEGIC_MERGE_PATCH,
    )
    return name


async def until_running(place: Place, screen: Screen) -> None:
    """Wait for it, and tell how it stands; DebugContainerFailed if it cannot or does not start."""
    told = ""
    try:
        async with asyncio.timeout(START_S):
            while True:
                state = _state(await place.pod_now(), place.container)
                if "running" in state:
                    screen.notice("Debug container is ready; press Enter if there is no prompt")
                    return
                if "terminated" in state:
                    raise _failed(place, str(state["terminated"].get("message") or state["terminated"].get("reason")))
                waiting = state.get("waiting") or {}
                reason = str(waiting.get("reason", "it is not created yet"))
                if reason in HOPELESS:
                    raise _failed(place, f"{reason} {waiting.get('message', '')}")
                if reason != told:
                    told = reason
                    screen.notice(f"Debug container {place.container} is waited for: {reason}")
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise _failed(place, f"not within {START_S:.0f} seconds: {told}") from None


def _state(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    found = find(pod, container)
    return found.state if found is not None else {}


def _failed(place: Place, why: str) -> DebugContainerFailed:
    return DebugContainerFailed(f"Debug container {place.container} did not start", details=why.strip())
