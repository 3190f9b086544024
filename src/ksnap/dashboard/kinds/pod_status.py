"""A pod's status in one word, as `kubectl get pods` finds it, with the Dashboard's spelling (contract, section 15).
Pure."""

from collections.abc import Sequence

from ksnap.dashboard.kinds.pod_wire import ContainerStatus, PodSpec, PodStatus, State, Terminated

ENDED = frozenset({"Succeeded", "Failed"})


def status_text(spec: PodSpec, status: PodStatus, *, deleted: bool) -> str:
    """The word. The later a rule stands, the more it says."""
    text = status.reason or status.phase
    if any(each.type == "PodScheduled" and each.reason == "SchedulingGated" for each in status.conditions):
        text = "SchedulingGated"
    initializing = _initializing(spec, status.init_container_statuses)
    text = initializing or text
    if not initializing or status.condition("Initialized") == "True":
        text = _containers_text(status, text)
    if deleted and status.reason == "NodeLost":
        return "Unknown"
    return "Terminating" if deleted and status.phase not in ENDED else text


def _initializing(spec: PodSpec, statuses: Sequence[ContainerStatus]) -> str:
    """What the first init container that is not done says; empty if all are."""
    sidecars = {each.name for each in spec.init_containers if each.is_sidecar}
    for at, each in enumerate(statuses):
        terminated, waiting = each.state.terminated, each.state.waiting
        if terminated is not None and terminated.exit_code == 0:
            continue
        if each.name in sidecars and each.started:
            continue
        if terminated is not None:
            return f"Init:{terminated.reason}" if terminated.reason else f"Init: {_ended(terminated, ' ')}"
        if waiting is not None and waiting.reason not in {"", "PodInitializing"}:
            return f"Init: {waiting.reason}"
        return f"Init: {at}/{len(spec.init_containers)}"
    return ""


def _containers_text(status: PodStatus, text: str) -> str:
    """What the containers say: the first in the pod's order that says something."""
    said, running = "", False
    for each in reversed(status.container_statuses):
        waiting, terminated = each.state.waiting, each.state.terminated
        if waiting is not None and waiting.reason:
            said = waiting.reason
        elif terminated is not None:
            said = terminated.reason or _ended(terminated, ": ")
        elif each.ready and each.state.running is not None:
            running = True
    text = said or text
    if text == "Completed" and running:
        return "Running" if status.condition("Ready") == "True" else "NotReady"
    return text


def _ended(how: Terminated, between: str) -> str:
    return f"Signal{between}{how.signal}" if how.signal else f"ExitCode{between}{how.exit_code}"


def container_state(state: State) -> str:
    """A container's state in one word. Only exit code 0 is a success: Windows has negative ones."""
    if state.waiting is not None:
        return "Waiting"
    if state.running is not None:
        return "Running"
    if state.terminated is not None:
        return "Terminated" if state.terminated.exit_code == 0 else "Failed"
    return "Unknown"


def is_ready_or_succeeded(status: PodStatus) -> bool:
    """Whether warnings about the pod are history."""
    return status.phase == "Succeeded" or (status.phase == "Running" and status.condition("Ready") != "False")


def standing(status: PodStatus, *, deleted: bool) -> str:
    """Where the pod is counted, before warnings are looked at (contract, section 8)."""
    if status.phase == "Failed":
        return "failed"
    if status.phase == "Succeeded":
        return "succeeded"
    ready = status.condition("Ready") == "True" and status.condition("Initialized") == "True"
    if ready and status.phase == "Running":
        return "running"
    return "terminating" if deleted else "pending"
