"""What each node of a cluster can freeze and restore, and which switch is missing where it cannot. Pure.

All is judged by the node's own report, whose `checkpointing_enabled` is a proof (the agent froze a container of its
own) and whose `restore_supported` is the agent's reading of the node's files. Remedies follow the runtime and version
that the report names. Nothing is asked here: `doctor.py` brings the facts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ksnap.checkpoints import remedies
from ksnap.checkpoints.findings import Finding, Level
from ksnap.checkpoints.node_reports import Look
from ksnap.checkpoints.node_status import failed_needs, is_fresh
from ksnap.model.container_runtime import ContainerRuntime, ImageRestore, parse_runtime
from ksnap.node.protocol import NOT_TRIED, FreezeObstacle, NodeReport

# Below it the agents refuse a dump, unless the chart's capture.minFreeBytes says otherwise.
LITTLE_DISK = 1 << 30
TCP_CLOSE_OFF = "tcp-close-off"


@dataclass(frozen=True, slots=True)
class NodeDiagnosis:
    """One node. Where it has no report, nothing is known of what it can."""

    name: str
    report: NodeReport | None
    agent_answers: bool | None
    """None where it could not be asked."""
    freezes: bool
    restores_by_runtime: bool
    restores_by_image: bool
    agent: Sequence[Finding]
    freeze: Sequence[Finding]
    restore: Sequence[Finding]

    @property
    def findings(self) -> Sequence[Finding]:
        return [*self.agent, *self.freeze, *self.restore]


@dataclass(frozen=True, slots=True)
class ClusterDiagnosis:
    """A cluster's nodes by name, and what concerns all of them."""

    findings: Sequence[Finding]
    nodes: Sequence[NodeDiagnosis]

    @property
    def all_findings(self) -> Sequence[Finding]:
        return [*self.findings, *(finding for each in self.nodes for finding in each.findings)]

    def node(self, name: str) -> NodeDiagnosis | None:
        return next((each for each in self.nodes if each.name == name), None)


def diagnose_cluster(cluster: str, look: Look, now: datetime, *, namespace: str) -> ClusterDiagnosis:
    """`namespace` is the agents'."""
    reports = {each.node_name: each for each in look.reports}
    names = reports.keys() | (look.pulled.nodes if look.pulled else frozenset())
    answered = look.pulled.answered if look.pulled and not look.problem else None
    nodes = [_node(name, reports.get(name), answered, now, namespace) for name in sorted(names)]
    return ClusterDiagnosis(list(_cluster(cluster, look)), nodes)


def _cluster(cluster: str, look: Look) -> Iterator[Finding]:
    if look.problem:
        said = "what follows is what they said before" if look.reports else "nothing is known of its nodes"
        yield Finding(
            "agents-not-asked",
            Level.PROBLEM,
            f"The cluster's agents could not be asked now, {said}: {look.problem}",
            f"ksnap cluster test {cluster}",
        )


def _node(
    name: str, report: NodeReport | None, answered: frozenset[str] | None, now: datetime, namespace: str
) -> NodeDiagnosis:
    return NodeDiagnosis(
        name,
        report,
        agent_answers=None if answered is None else name in answered,
        freezes=report is not None and _freezes(report),
        restores_by_runtime=report is not None and report.restore_supported == "runtime",
        restores_by_image=report is not None and _restores_by_image(report),
        agent=list(_agent(name, report, answered, now, namespace)),
        freeze=list(_freeze(report, namespace)) if report is not None else (),
        restore=list(_restore(report, namespace)) if report is not None else (),
    )


def _agent(
    name: str, report: NodeReport | None, answered: frozenset[str] | None, now: datetime, namespace: str
) -> Iterator[Finding]:
    if report is None:
        yield Finding(
            "agent-missing",
            Level.PROBLEM,
            "No agent has ever reported from the node: nothing can be frozen or restored there",
            remedies.install_agent(namespace),
        )
        return
    time = f"{report.timestamp:%Y-%m-%dT%H:%M:%SZ}"
    if answered is not None and name in answered:
        yield Finding("agent-answers", Level.OK, f"The node's agent answers; its report is of {time}")
    elif not is_fresh(report, now):
        yield Finding(
            "report-old",
            Level.PROBLEM,
            f"The node's last report is of {time}: what follows may no longer be so",
            remedies.look_at_agents(namespace),
        )
    elif answered is None:
        yield Finding("agent-not-asked", Level.UNKNOWN, f"What follows is the report of {time}, not of now")
    else:
        yield Finding(
            "agent-silent",
            Level.PROBLEM,
            f"No agent of the node is ready and answers; its last report is of {time}",
            remedies.look_at_agents(namespace),
        )


def _freezes(report: NodeReport) -> bool:
    return report.checkpointing_enabled and not failed_needs(report.checks)


def _freeze(report: NodeReport, namespace: str) -> Iterator[Finding]:
    if _freezes(report):
        yield Finding("freeze-works", Level.OK, _proof(report))
    elif NOT_TRIED in report.checks.get("checkpoint", ""):
        yield Finding(
            "freeze-not-tried",
            Level.UNKNOWN,
            "The agent has not yet tried to freeze a container of its own; ask again in a moment. It never tries where "
            "the chart's probe is off",
            remedies.chart_value(namespace, "probe.enabled=true"),
        )
    else:
        yield from _freeze_problems(report, namespace)
    if not _has_option(report, "tcp-close"):
        yield Finding(
            TCP_CLOSE_OFF,
            Level.WARNING,
            "A container with an open TCP connection cannot be frozen here, unless it is of the runtime class ksnap: "
            "CRIU's option tcp-close is not set",
            remedies.criu_option(namespace, "tcp-close", "tcpClose"),
        )
    if not _has_option(report, "skip-in-flight"):
        yield Finding(
            "skip-in-flight-off",
            Level.WARNING,
            "A TCP connection in its handshake at the moment of a freeze, a probe's say, makes it fail, unless the pod "
            "is of the runtime class ksnap: CRIU's option skip-in-flight is not set",
            remedies.criu_option(namespace, "skip-in-flight", "skipInFlight"),
        )
    if 0 < report.free_disk_bytes < LITTLE_DISK:
        yield Finding(
            "disk-low",
            Level.WARNING,
            f"{report.free_disk_bytes >> 20} MiB are free where the kubelet writes archives; a freeze takes about four "
            "times the container's memory while it lasts",
            "# free some of the node's disk; below the chart's capture.minFreeBytes the agents refuse a dump",
        )


def _proof(report: NodeReport) -> str:
    if not report.checks.get("checkpoint", "").startswith("checkpoint:pass"):
        return "The node's agent says that it can checkpoint"
    by = f", by CRIU {report.criu_version}" if report.criu_version else ""
    return f"The agent has frozen a container of its own here{by}"


def _has_option(report: NodeReport, option: str) -> bool:
    by_check = option == "tcp-close" and report.checks.get("criu_config", "").startswith("criu_config:pass")
    return option in report.criu_options or by_check


def _freeze_problems(report: NodeReport, namespace: str) -> Iterator[Finding]:
    """What the agent met, then whatever else in its report explains it."""
    failed = {name: report.checks[name].partition(":fail:")[2] or "failed" for name in failed_needs(report.checks)}
    said = failed.pop("checkpoint", "") or "its agent says that checkpointing is not enabled"
    obstacle = next((each for each in FreezeObstacle if each == report.freeze_obstacle), None)
    yield Finding(
        obstacle.value if obstacle else "freeze-fails",
        Level.PROBLEM,
        f"Nothing can be frozen on the node: {said}",
        remedies.against(obstacle, namespace) if obstacle else "",
    )
    if "criu" in failed:
        yield Finding(
            "criu-missing",
            Level.PROBLEM,
            f"The node's agent has seen no CRIU there, neither in its files nor at work: {failed['criu']}",
            remedies.CRIU_PACKAGE,
        )
    runtime = parse_runtime(report.container_runtime)
    if runtime is not None and runtime.family == "cri-o":
        yield Finding(
            "crio-criu-support",
            Level.WARNING,
            f"{runtime} checkpoints only with its switch set, whose default moved between versions",
            remedies.CRIO_CRIU,
        )
    if runtime is not None and runtime.family == "containerd 1":
        yield Finding(
            "runtime-too-old",
            Level.PROBLEM,
            f"{runtime} does not serve the kubelet's checkpoints: 2.0 is the first that does",
            "# on the node: install containerd 2.1 or later, and migrate its configuration\ncontainerd config migrate",
        )


def _restores_by_image(report: NodeReport) -> bool:
    # An agent of a former version knows the one engine only.
    return report.image_restore or report.restore_supported == "image"


def _restore(report: NodeReport, namespace: str) -> Iterator[Finding]:
    """With the runtime engine nothing is missing; with the image engine the better one; else both, each enough."""
    runtime = parse_runtime(report.container_runtime)
    if report.restore_supported == "runtime":
        yield Finding("restores-by-runtime", Level.OK, f"Restores by the runtime engine: {report.restore_reason}")
        return
    if _restores_by_image(report):
        yield Finding("restores-by-image", Level.OK, f"Restores by the image engine: {report.restore_reason}")
        yield from _no_runtime_engine(runtime, namespace)
        return
    yield Finding(
        "restores-by-nothing",
        Level.PROBLEM,
        f"Nothing can be restored on the node, for which one engine is enough: "
        f"{report.restore_reason or 'its agent does not say why'}",
    )
    yield from _no_runtime_engine(runtime, namespace)
    if runtime is not None:
        yield from _no_image_engine(runtime)


def _no_runtime_engine(runtime: ContainerRuntime | None, namespace: str) -> Iterator[Finding]:
    if runtime is not None and runtime.family != "containerd 2":
        message = f"The runtime engine is not for {runtime}: it needs containerd 2"
        yield Finding("runtime-engine-not-for", Level.WARNING, message)
        return
    yield Finding(
        "runtime-engine-missing",
        Level.WARNING,
        "The runtime engine is not set up on the node, or failed its self-test there; it restores large processes "
        "faster, on any containerd 2",
        remedies.runtime_engine(namespace),
    )


def _no_image_engine(runtime: ContainerRuntime) -> Iterator[Finding]:
    match runtime.image_restore:
        case ImageRestore.SWITCH if runtime.family == "cri-o":
            yield Finding(
                "image-engine-off", Level.WARNING, f"{runtime} restores images with its switch set", remedies.CRIO_CRIU
            )
        case ImageRestore.SWITCH:
            yield Finding(
                "image-engine-off",
                Level.WARNING,
                f"{runtime} restores images with its switch set and its CRIU support on",
                remedies.CONTAINERD_RESTORE,
            )
        case ImageRestore.BUILT_IN:
            yield Finding(
                "image-engine-off",
                Level.WARNING,
                f"{runtime} restores images unless its CRIU support is off",
                remedies.CONTAINERD_CRIU,
            )
        case ImageRestore.NOT_YET | ImageRestore.REMOVED | ImageRestore.UNKNOWN:
            yield Finding("image-engine-not-for", Level.WARNING, f"{runtime} has no image engine that can be set up")
