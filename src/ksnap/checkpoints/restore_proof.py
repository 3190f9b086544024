"""Tells a restored pod from a cold one, and a hopeless one from one that needs time. Pure.

Containerd shows the *base* image in the status of a container that it restored from a checkpoint image; a container
that was merely started from a checkpoint image would show that one, and die, since nothing in it can be run. The
runtime's own record, read by the node's agent, must say so too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.errors import RestoreFailed
from ksnap.node.protocol import ContainerEvidence

# Reasons that time does not cure, as the kubelet names them (pkg/kubelet/images/types.go, kuberuntime).
_HOPELESS = frozenset(
    {
        "CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ImageInspectError",
        "ImagePullBackOff", "InvalidImageName", "RunContainerError", "CrashLoopBackOff", "SignatureValidationFailed",
    }
)  # fmt: skip
_PULL_TIME = re.compile(r"Successfully pulled image .* in ((?:\d+h)?(?:\d+m)?[\d.]+(?:ms|s|µs))")
_DURATION = re.compile(r"([\d.]+)(h|ms|m|s|µs)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}
_MESSAGE_LIMIT = 400


@dataclass(frozen=True, slots=True)
class ContainerProof:
    """What is known of one restored container."""

    container: str
    checkpoint_id: str
    restored: bool
    base_image: str
    restart_count: int
    runtime_says_restored: bool
    record: str


def readiness(pod: Mapping[str, Any]) -> bool | None:
    """True when the pod is ready, None while it may become so; RestoreFailed if it will not."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        raise _failed("The restored pod ended", str(status.get("message") or status.get("reason") or status["phase"]))
    for container in status.get("containerStatuses") or []:
        _check_container(container)
    conditions = status.get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions) or None


def _check_container(container: Mapping[str, Any]) -> None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _HOPELESS:
        raise _failed(
            "The container could not be restored",
            f"{container['name']}: {waiting['reason']}: {waiting.get('message', '')}",
            hint="See the node's containerd log and CRIU's restore log; `criu check` on the node tells what it lacks",
        )
    if container.get("restartCount", 0) > 0:
        ended = (container.get("lastState") or {}).get("terminated") or {}
        raise _failed(
            "The restored container ended",
            f"{container['name']}: {ended.get('reason', 'restarted')}, exit code {ended.get('exitCode', '?')}",
            hint="See its log: kubectl logs --previous",
        )


def why_not_ready(pod: Mapping[str, Any]) -> str:
    """What the pod waited for when its time was up."""
    status = pod.get("status") or {}
    for each in status.get("conditions") or []:
        if each["type"] == "PodScheduled" and each["status"] != "True":
            return f"not scheduled: {each.get('message') or each.get('reason', '')}"[:_MESSAGE_LIMIT]
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"{container['name']}: {waiting.get('reason', '')} {waiting.get('message', '')}"[:_MESSAGE_LIMIT]
        if not container.get("ready"):
            return f"{container['name']} runs but is not ready"
    return str(status.get("phase", "Unknown"))


def prove(
    container: str,
    checkpoint_id: str,
    *,
    pod: Mapping[str, Any],
    original_image: str,
    original_digest: str,
    evidence: ContainerEvidence,
) -> ContainerProof:
    """Whether one container was restored: base image in the status, no restart, and the runtime's own record."""
    statuses: Sequence[Mapping[str, Any]] = (pod.get("status") or {}).get("containerStatuses") or []
    status = next((each for each in statuses if each["name"] == container), {})
    shown = str(status.get("image", ""))
    is_base = shown == original_image or original_digest in str(status.get("imageID", ""))
    restarts = int(status.get("restartCount", 0))
    return ContainerProof(
        container=container,
        checkpoint_id=checkpoint_id,
        restored=is_base and restarts == 0 and evidence.restored,
        base_image=shown,
        restart_count=restarts,
        runtime_says_restored=evidence.restored,
        record=evidence.record,
    )


def timings(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, str | float | None]:
    """When the pod was created, its images pulled, its containers started, and it ready; as the cluster says."""
    status = pod.get("status") or {}
    started = [
        (each.get("state") or {}).get("running", {}).get("startedAt") for each in status.get("containerStatuses") or []
    ]
    ready = [
        each.get("lastTransitionTime")
        for each in status.get("conditions") or []
        if each["type"] == "Ready" and each["status"] == "True"
    ]
    pulled = [each for each in events if each.get("reason") == "Pulled"]
    return {
        "created_at": pod["metadata"].get("creationTimestamp"),
        "pulled_at": max((str(each.get("lastTimestamp") or "") for each in pulled), default="") or None,
        "started_at": max((str(each) for each in started if each), default="") or None,
        "ready_at": max((str(each) for each in ready if each), default="") or None,
        "pull_s": _pull_seconds(pulled),
    }


def _pull_seconds(pulled: Sequence[Mapping[str, Any]]) -> float | None:
    found = [_PULL_TIME.search(str(each.get("message", ""))) for each in pulled]
    times = [
        sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(match.group(1)))
        for match in found
        if match
    ]
    return round(sum(times), 3) if times else None


def _failed(message: str, details: str, *, hint: str = "") -> RestoreFailed:
    return RestoreFailed(message, details=details[:_MESSAGE_LIMIT], hint=hint)
