"""What a cluster's nodes lack, one case a finding: reports in, findings with their remedies out."""

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from ksnap.checkpoints import remedies
from ksnap.checkpoints.findings import Finding, Level, problems
from ksnap.checkpoints.node_doctor import LITTLE_DISK, ClusterDiagnosis, NodeDiagnosis, diagnose_cluster
from ksnap.checkpoints.node_reports import Look, Pulled
from ksnap.node.protocol import NOT_TRIED, FreezeObstacle, NodeReport

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD_CHECKS = {"criu": "criu:Version: 4.2.1", "checkpoint": "checkpoint:pass"}
GOOD: dict[str, Any] = {
    "node_name": "node1",
    "timestamp": NOW,
    "agent_version": "1",
    "container_runtime": "containerd://2.1.9",
    "criu_version": "4.2.1",
    "checkpointing_enabled": True,
    "restore_supported": "runtime",
    "restore_reason": "ksnap-runc is installed",
    "image_restore": True,
    "free_disk_bytes": 100 * LITTLE_DISK,
    "criu_options": ["tcp-close", "skip-in-flight"],
    "checks": GOOD_CHECKS,
}


def report(**different: Any) -> NodeReport:
    return NodeReport.model_validate(GOOD | different)


def failed(problem: str, *, obstacle: str = "", **different: Any) -> NodeReport:
    """A report of an agent whose probe came to nothing."""
    checks = GOOD_CHECKS | {"checkpoint": f"checkpoint:fail:{problem}"} | different.pop("checks", {})
    return report(checkpointing_enabled=False, freeze_obstacle=obstacle, checks=checks, **different)


def diagnosed(
    *reports: NodeReport, answered: Sequence[str] = ("node1",), nodes: Sequence[str] = ("node1",), problem: str = ""
) -> ClusterDiagnosis:
    pulled = Pulled(0.0, frozenset(answered), frozenset(nodes), frozenset(nodes))
    return diagnose_cluster("prod", Look(reports, pulled, problem), NOW, namespace="snap")


def only(*reports: NodeReport, **look: Any) -> NodeDiagnosis:
    [node] = diagnosed(*reports, **look).nodes
    return node


def levels(findings: Sequence[Finding]) -> dict[str, str]:
    return {each.id: each.level.value for each in findings}


def remedy(findings: Sequence[Finding], wanted: str) -> str:
    return next(each.remedy for each in findings if each.id == wanted)


def test_of_a_node_that_can_all_nothing_is_asked() -> None:
    node = only(report())
    assert levels(node.findings) == {"agent-answers": "ok", "freeze-works": "ok", "restores-by-runtime": "ok"}
    assert [each.remedy for each in node.findings] == ["", "", ""]
    assert (node.agent_answers, node.freezes, node.restores_by_runtime, node.restores_by_image) == (True,) * 4
    assert "by CRIU 4.2.1" in node.freeze[0].message


def test_a_node_without_a_report_lacks_its_agent() -> None:
    node = only(answered=())
    assert levels(node.findings) == {"agent-missing": "problem"}
    assert "helm install ksnap charts/ksnap --namespace snap" in node.agent[0].remedy
    assert (node.report, node.freezes, node.agent_answers) == (None, False, False)


def test_an_agent_that_does_not_answer_is_a_problem_though_it_did_before() -> None:
    node = only(report(), answered=())
    assert levels(node.agent) == {"agent-silent": "problem"}
    assert "kubectl --namespace snap logs" in node.agent[0].remedy
    assert node.freezes
    assert not node.agent_answers


def test_an_old_report_says_that_it_is() -> None:
    node = only(report(timestamp=NOW - timedelta(hours=1)), answered=())
    assert levels(node.agent) == {"report-old": "problem"}


def test_where_the_cluster_does_not_answer_its_last_reports_are_told_as_such() -> None:
    diagnosis = diagnosed(report(), problem="connection refused")
    assert levels(diagnosis.findings) == {"agents-not-asked": "problem"}
    assert "said before: connection refused" in diagnosis.findings[0].message
    assert diagnosis.findings[0].remedy == "ksnap cluster test prod"
    assert levels(diagnosis.nodes[0].agent) == {"agent-not-asked": "unknown"}
    assert diagnosis.nodes[0].agent_answers is None, "it did at an earlier pull"


def test_a_cluster_that_never_answered_has_no_nodes() -> None:
    diagnosis = diagnose_cluster("prod", Look([], None, "refused"), NOW, namespace="ksnap")
    assert "nothing is known of its nodes" in diagnosis.findings[0].message
    assert (diagnosis.nodes, problems(diagnosis.all_findings)) == ([], 1)


def test_nodes_are_told_by_name_and_found_by_it() -> None:
    diagnosis = diagnosed(report(node_name="b"), report(node_name="a"), nodes=("a", "b", "c"), answered=("a", "b"))
    assert [each.name for each in diagnosis.nodes] == ["a", "b", "c"]
    found = diagnosis.node("c")
    assert found is not None
    assert levels(found.agent) == {"agent-missing": "problem"}
    assert diagnosis.node("d") is None
    assert problems(diagnosis.all_findings) == 1


@pytest.mark.parametrize(
    ("obstacle", "lines"),
    [
        (FreezeObstacle.NOT_OFFERED, "featureGates:\n  ContainerCheckpoint: true"),
        (FreezeObstacle.REFUSED, "authorization:\n  mode: Webhook"),
        (FreezeObstacle.NOT_TRUSTED, "--set kubelet.caConfigMap=kubelet-ca"),
        (FreezeObstacle.NOT_REACHED, "kubelet.port"),
    ],
)
def test_the_kubelets_obstacle_chooses_the_lines(obstacle: FreezeObstacle, lines: str) -> None:
    node = only(failed("The kubelet is in the way", obstacle=obstacle))
    assert levels(node.freeze) == {obstacle.value: "problem"}
    assert lines in node.freeze[0].remedy
    assert "The kubelet is in the way" in node.freeze[0].message
    assert not node.freezes


@pytest.mark.parametrize("obstacle", ["", "of-a-newer-agent"])
def test_any_other_failure_is_told_in_the_agents_words(obstacle: str) -> None:
    node = only(failed("The node's disk is full", obstacle=obstacle))
    assert levels(node.freeze) == {"freeze-fails": "problem"}
    assert "The node's disk is full" in node.freeze[0].message


def test_an_agent_that_only_says_no_is_believed() -> None:
    node = only(report(checkpointing_enabled=False, checks={}))
    assert levels(node.freeze) == {"freeze-fails": "problem"}
    assert "not enabled" in node.freeze[0].message


def test_an_agent_of_another_kind_is_believed_and_not_called_a_proof() -> None:
    node = only(report(checks={"criu": "criu:pass", "criu_config": "criu_config:pass"}, criu_options=[]))
    assert levels(node.freeze) == {"freeze-works": "ok", "skip-in-flight-off": "warning"}
    assert "says that it can" in node.freeze[0].message


def test_an_agent_that_has_not_tried_knows_nothing() -> None:
    node = only(failed(NOT_TRIED))
    assert levels(node.freeze) == {"freeze-not-tried": "unknown"}
    assert "probe.enabled=true" in node.freeze[0].remedy
    assert not node.freezes


def test_missing_criu_is_told_beside_the_failure() -> None:
    node = only(failed("CRIU is missing", checks={"criu": "criu:fail:not_found"}))
    assert levels(node.freeze) == {"freeze-fails": "problem", "criu-missing": "problem"}


@pytest.mark.parametrize(
    ("runtime", "found"),
    [
        ("cri-o://1.31.2", {"crio-criu-support": "warning"}),
        ("containerd://1.7.27", {"runtime-too-old": "problem"}),
        ("containerd://2.1.9", {}),
        ("", {}),
    ],
)
def test_a_failed_freeze_is_explained_by_the_runtime_where_that_can_be(runtime: str, found: dict[str, str]) -> None:
    node = only(failed("no", container_runtime=runtime))
    assert levels(node.freeze) == {"freeze-fails": "problem", **found}


@pytest.mark.parametrize(
    ("options", "found", "value"),
    [
        (["skip-in-flight"], {"tcp-close-off": "warning"}, "criu.tcpClose=true"),
        (["tcp-close"], {"skip-in-flight-off": "warning"}, "criu.skipInFlight=true"),
    ],
)
def test_an_option_that_is_off_is_named_with_the_charts_value(
    options: list[str], found: dict[str, str], value: str
) -> None:
    node = only(report(criu_options=options))
    assert levels(node.freeze) == {"freeze-works": "ok", **found}
    assert value in node.freeze[1].remedy
    assert node.freeze[1].remedy.splitlines()[-1] == next(iter(found)).removesuffix("-off")


@pytest.mark.parametrize(("free", "low"), [(0, False), (1, True), (LITTLE_DISK - 1, True), (LITTLE_DISK, False)])
def test_little_disk_is_told_and_an_unknown_amount_is_not(free: int, low: bool) -> None:  # noqa: FBT001 - a table
    assert ("disk-low" in levels(only(report(free_disk_bytes=free)).freeze)) == low


def test_the_image_engine_alone_does_and_the_better_one_is_named() -> None:
    node = only(report(restore_supported="image"))
    assert levels(node.restore) == {"restores-by-image": "ok", "runtime-engine-missing": "warning"}
    assert "--namespace snap --reuse-values --set nodeSetup.enabled=true" in node.restore[1].remedy
    assert (node.restores_by_runtime, node.restores_by_image) == (False, True)


def test_an_agent_of_a_former_version_knows_the_one_engine_only() -> None:
    assert only(report(restore_supported="image", image_restore=False)).restores_by_image


def without_engines(runtime: str) -> Sequence[Finding]:
    nothing = {"restore_supported": "none", "image_restore": False, "restore_reason": "it lacks"}
    return only(report(container_runtime=runtime, **nothing)).restore


@pytest.mark.parametrize(
    ("runtime", "found"),
    [
        ("containerd://2.4.2", {"runtime-engine-missing", "image-engine-not-for"}),
        ("containerd://2.2.7", {"runtime-engine-missing", "image-engine-off"}),
        ("containerd://2.1.9", {"runtime-engine-missing", "image-engine-off"}),
        ("containerd://1.7.27", {"runtime-engine-not-for", "image-engine-not-for"}),
        ("cri-o://1.31.2", {"runtime-engine-not-for", "image-engine-off"}),
        ("docker://27.1.1", {"runtime-engine-not-for", "image-engine-not-for"}),
        ("", {"runtime-engine-missing"}),
    ],
)
def test_where_nothing_restores_each_engine_says_what_it_lacks(runtime: str, found: set[str]) -> None:
    findings = without_engines(runtime)
    assert levels(findings) == {"restores-by-nothing": "problem"} | dict.fromkeys(found, "warning")
    assert "it lacks" in findings[0].message


@pytest.mark.parametrize(
    ("runtime", "file", "table", "switches"),
    [
        (
            "containerd://2.3.4",
            "/etc/containerd/conf.d/",
            ("plugins", "io.containerd.cri.v1.runtime"),
            {"enable_experimental_restore_via_create": True, "enable_criu": True},
        ),
        (
            "containerd://2.1.9",
            "/etc/containerd/conf.d/",
            ("plugins", "io.containerd.cri.v1.runtime"),
            {"enable_criu": True},
        ),
        ("cri-o://1.31.2", "/etc/crio/crio.conf.d/", ("crio", "runtime"), {"enable_criu_support": True}),
    ],
)
def test_the_image_engines_lines_are_those_of_the_runtime(
    runtime: str, file: str, table: tuple[str, str], switches: dict[str, bool]
) -> None:
    lines = remedy(without_engines(runtime), "image-engine-off")
    assert file in lines.splitlines()[0]
    document = tomllib.loads(lines)
    assert document[table[0]][table[1]] == switches


def test_lines_for_the_kubelet_are_its_configuration() -> None:
    assert yaml.safe_load(remedies.KUBELET_FEATURE) == {"featureGates": {"ContainerCheckpoint": True}}


def test_levels_are_ordered_from_good_to_bad() -> None:
    assert list(Level) == ["ok", "unknown", "warning", "problem"]
