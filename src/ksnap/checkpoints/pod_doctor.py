"""What stands in the way of a freeze of a pod's containers, and of a restore of it elsewhere. Pure.

Looked at are the pod's spec and status and its node's report. What only a process knows (an io_uring, open TCP
connections, terminals, file locks, a running `kubectl exec`) is in neither, and the agent cannot look: it shares no
process namespace with its node and has no capability, which is worth more than this answer. So nothing here ever says
that a container can be frozen: it says which obstacles are known, which are possible, and that a freeze will tell.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.checkpoints import remedies
from ksnap.checkpoints.findings import Finding, Level
from ksnap.checkpoints.node_doctor import TCP_CLOSE_OFF, NodeDiagnosis
from ksnap.checkpoints.pod_volumes import volume_findings
from ksnap.model.checkpoint_key import RUNTIME_CLASS
from ksnap.model.container_runtime import parse_runtime

Json = Mapping[str, Any]

IO_URING = "ksnap.dev/io-uring"
# Resources that are no devices: Kubernetes' own have no domain, but for those of these domains.
_KUBERNETES = ("kubernetes.io", "k8s.io")
_GPU = re.compile(r"gpu|^nvidia\.com/|^amd\.com/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContainerDiagnosis:
    name: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class PodDiagnosis:
    """What concerns the whole pod, then each container that could be frozen."""

    namespace: str
    pod: str
    node: str
    """Empty while it is on none."""
    looked_at: Sequence[str]
    findings: Sequence[Finding]
    containers: Sequence[ContainerDiagnosis]

    @property
    def all_findings(self) -> Sequence[Finding]:
        return [*self.findings, *(finding for each in self.containers for finding in each.findings)]


def diagnose_pod(pod: Json, node: NodeDiagnosis | None) -> PodDiagnosis:
    """`pod` as the API server answers it, with what is known of its node."""
    metadata, spec = pod["metadata"], pod["spec"]
    looked_at = ["the pod's spec and status, as the API server has them"]
    if node is not None and node.report is not None:
        looked_at.append(f"the report of node {node.name} of {node.report.timestamp:%Y-%m-%dT%H:%M:%SZ}")
    return PodDiagnosis(
        namespace=metadata["namespace"],
        pod=metadata["name"],
        node=str(spec.get("nodeName") or ""),
        looked_at=looked_at,
        findings=[*_running(pod), *_node(spec, node), *_namespaces(spec), *_sessions(pod)],
        containers=[
            ContainerDiagnosis(each["name"], list(_container(each, pod, node))) for each in spec.get("containers") or []
        ],
    )


def _running(pod: Json) -> Iterator[Finding]:
    phase = (pod.get("status") or {}).get("phase", "Unknown")
    if pod["metadata"].get("deletionTimestamp"):
        yield Finding("pod-ending", Level.PROBLEM, "The pod is being deleted")
    elif phase != "Running":
        yield Finding("pod-not-running", Level.PROBLEM, f"The pod is {phase}: only a running one can be frozen")


def _node(spec: Json, node: NodeDiagnosis | None) -> Iterator[Finding]:
    name = spec.get("nodeName")
    if not name:
        return
    if node is None or node.report is None:
        remedy = node.agent[0].remedy if node is not None else ""
        yield Finding("node-not-known", Level.PROBLEM, f"No agent has reported from its node {name}", remedy)
    elif not node.freezes:
        against = [each for each in node.freeze if each.level is not Level.WARNING]
        not_tried = all(each.level is Level.UNKNOWN for each in against)
        yield Finding(
            "node-cannot-freeze",
            Level.UNKNOWN if not_tried else Level.PROBLEM,
            f"Its node {name}: " + "; ".join(each.message for each in against),
            "\n".join(each.remedy for each in against if each.remedy),
        )
    elif not node.agent_answers:
        remedy = node.agent[0].remedy
        yield Finding("node-silent", Level.WARNING, f"The agent of its node {name} did not answer now", remedy)
    else:
        yield Finding("node-freezes", Level.OK, f"Its node {name} can freeze, and its agent answers")


def _namespaces(spec: Json) -> Iterator[Finding]:
    if spec.get("hostUsers") is False:
        yield Finding(
            "user-namespace",
            Level.PROBLEM,
            "The pod has a user namespace of its own (hostUsers: false), which can neither be frozen nor restored yet",
            "# in the pod's spec\nhostUsers: true",
        )
    if spec.get("hostNetwork"):
        yield Finding(
            "host-network",
            Level.WARNING,
            "The pod uses its node's network: its ports and addresses are the node's, so a copy finds the ports taken "
            "on the same node, and other addresses on another",
            "# in the pod's spec\nhostNetwork: false",
        )
    if spec.get("hostPID"):
        yield Finding(
            "host-pid",
            Level.WARNING,
            "The pod uses its node's process numbers: CRIU restores a process with its old number, which on any node "
            "another one may have by then",
            "# in the pod's spec\nhostPID: false",
        )
    if spec.get("hostIPC"):
        yield Finding(
            "host-ipc",
            Level.WARNING,
            "The pod uses its node's IPC: System V memory, semaphores and queues are then not the pod's alone, and a "
            "freeze of a process that uses them fails",
            "# in the pod's spec\nhostIPC: false",
        )
    runtime_class = spec.get("runtimeClassName")
    if runtime_class not in {None, "", RUNTIME_CLASS}:
        yield Finding(
            "runtime-class",
            Level.UNKNOWN,
            f"The pod is of the runtime class {runtime_class}, of which nothing is known here: CRIU freezes what runc "
            "runs, and no sandbox of another kind",
        )


def _sessions(pod: Json) -> Iterator[Finding]:
    statuses = (pod.get("status") or {}).get("ephemeralContainerStatuses") or []
    running = {each["name"] for each in statuses if "running" in (each.get("state") or {})}
    for each in pod["spec"].get("ephemeralContainers") or []:
        if each["name"] in running:
            target = each.get("targetContainerName")
            inside = f" among the processes of container {target}, whose freeze it may fail" if target else ""
            yield Finding(
                "debug-session",
                Level.WARNING,
                f"The debugging container {each['name']} runs{inside}; a restored pod does not have it",
                "# end the session before the freeze: leave its shell; kubectl cannot remove it",
            )


def _container(container: Json, pod: Json, node: NodeDiagnosis | None) -> Iterator[Finding]:
    yield from _container_running(container["name"], pod)
    yield from _rights(container)
    yield from _devices(container)
    yield from _io_uring(container, pod, node)
    yield from volume_findings(container, pod["spec"])
    yield from _connections(pod["spec"], node)
    yield _inside(container["name"], pod)


def _container_running(name: str, pod: Json) -> Iterator[Finding]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    state = next((each.get("state") or {} for each in statuses if each["name"] == name), {})
    if "running" not in state:
        word = next(iter(state), "not started")
        reason = (state.get(word) or {}).get("reason", "")
        yield Finding(
            "container-not-running",
            Level.PROBLEM,
            f"The container is {word}{f' ({reason})' if reason else ''}: only a running one can be frozen",
        )


def _rights(container: Json) -> Iterator[Finding]:
    if container.get("tty"):
        yield Finding(
            "terminal",
            Level.WARNING,
            "The container has a terminal (tty: true), whose other end is outside of it; a freeze may fail on it, and "
            "whoever is attached is not attached to a copy",
            "# in the container\ntty: false",
        )
    if _security(container).get("privileged"):
        yield Finding(
            "privileged",
            Level.WARNING,
            "The container is privileged: it may hold devices, mounts and kernel objects that CRIU cannot freeze",
            "# in the container: what it needs, by name\nsecurityContext:\n  privileged: false",
        )


def _devices(container: Json) -> Iterator[Finding]:
    resources = container.get("resources") or {}
    asked = {*(resources.get("limits") or {}), *(resources.get("requests") or {})}
    for name in sorted(each for each in asked if _is_device(each)):
        gpu = _GPU.search(name) is not None
        yield Finding(
            "gpu" if gpu else "device",
            Level.PROBLEM if gpu else Level.WARNING,
            f"The container has {name}: CRIU freezes no process with such a device open, unless it has a plugin for "
            "it, which ksnap does not set up",
        )
    if resources.get("claims"):
        yield Finding(
            "device",
            Level.WARNING,
            "The container has devices by resource claims: CRIU freezes no process with such a device open",
        )
    for each in container.get("volumeDevices") or []:
        yield Finding(
            "device",
            Level.WARNING,
            f"The container has the block device {each['devicePath']}, whose content no checkpoint holds",
        )


def _is_device(resource: str) -> bool:
    domain, slash, _ = resource.partition("/")
    return bool(slash) and not any(domain == each or domain.endswith(f".{each}") for each in _KUBERNETES)


def _security(container: Json) -> Json:
    found: Json = container.get("securityContext") or {}
    return found


def _io_uring(container: Json, pod: Json, node: NodeDiagnosis | None) -> Iterator[Finding]:
    """A process that has an io_uring cannot be frozen; whether it could have made one is told by its seccomp filter."""
    spec = pod["spec"]
    own = _security(container).get("seccompProfile") or (spec.get("securityContext") or {}).get("seccompProfile") or {}
    profile = own.get("type", "")
    allowed = (pod["metadata"].get("annotations") or {}).get(IO_URING) == "allow"
    if _security(container).get("privileged"):
        yield _may_use_io_uring("A privileged container has no seccomp filter", remedies.NOT_PRIVILEGED)
    elif spec.get("runtimeClassName") == RUNTIME_CLASS and not allowed:
        yield Finding("io-uring", Level.OK, f"The runtime class {RUNTIME_CLASS} answers io_uring as if there were none")
    elif profile == "RuntimeDefault" and _runtime_family(node) == "containerd 2":
        yield Finding("io-uring", Level.OK, "Its seccomp profile is containerd's default, which forbids io_uring")
    elif profile in {"RuntimeDefault", "Localhost"}:
        yield Finding(
            "io-uring",
            Level.UNKNOWN,
            f"Whether its seccomp profile ({profile}) forbids io_uring is not known here; a process that has one "
            "cannot be frozen",
        )
    else:
        set_to = "is Unconfined" if profile else "is not set (the kubelet may have a default, seccompDefault)"
        yield _may_use_io_uring(f"Its seccomp profile {set_to}", remedies.SECCOMP_DEFAULT)


def _may_use_io_uring(why: str, remedy: str) -> Finding:
    message = f"{why}, so its processes may use io_uring, and one that does cannot be frozen"
    return Finding("io-uring", Level.WARNING, message, remedy)


def _runtime_family(node: NodeDiagnosis | None) -> str:
    runtime = parse_runtime(node.report.container_runtime) if node is not None and node.report is not None else None
    return runtime.family if runtime is not None else ""


def _connections(spec: Json, node: NodeDiagnosis | None) -> Iterator[Finding]:
    closes = (
        "open TCP connections do not stop a freeze; the running container keeps them, a restored one has them closed"
    )
    if spec.get("runtimeClassName") == RUNTIME_CLASS:
        yield Finding("tcp-connections", Level.OK, f"In the runtime class {RUNTIME_CLASS} {closes}")
    elif node is not None and node.report is not None:
        off = next((each for each in node.freeze if each.id == TCP_CLOSE_OFF), None)
        if off is None:
            yield Finding("tcp-connections", Level.OK, f"On its node {closes}")
        else:
            yield Finding(
                "tcp-connections",
                Level.WARNING,
                "An open TCP connection makes its freeze fail: its node does not set CRIU's option tcp-close",
                off.remedy,
            )


def _inside(container: str, pod: Json) -> Finding:
    metadata = pod["metadata"]
    return Finding(
        "inside-not-known",
        Level.UNKNOWN,
        "Not looked at, as it can be seen in the processes alone: io_urings, open terminals, kubectl exec sessions, "
        "file locks, sockets that lead out of the container. A freeze that meets one it cannot keep fails, says which, "
        "and the pod runs on",
        f"# the freeze itself tells\nksnap checkpoint create {metadata['name']} --namespace {metadata['namespace']} "
        f"--container {container}",
    )
