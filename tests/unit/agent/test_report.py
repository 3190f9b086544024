"""A report from facts."""

from datetime import UTC, datetime
from pathlib import Path

from ksnap.agent.probe import ProbeResult
from ksnap.agent.report import NodeFacts, newer_info, node_report, runtime_engine
from ksnap.agent.restore_support import RuntimeEngine, RuntimeSwitches
from ksnap.agent.settings import AgentSettings
from ksnap.node.protocol import FreezeObstacle

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
NODE_INFO = {
    "architecture": "amd64",
    "kernelVersion": "6.18.44",
    "kubeletVersion": "v1.36.3",
    "containerRuntimeVersion": "containerd://2.1.9",
}


def test_good_node_passes_every_check() -> None:
    facts = NodeFacts(NODE_INFO, "1.3.6", "", RuntimeSwitches(), ProbeResult(AT, criu_version="4.2.1"))

    report = node_report("node1", facts, free_disk_bytes=1, options=["tcp-close"], now=AT)

    assert report.checkpointing_enabled
    assert report.restore_supported == "image"
    assert report.image_restore
    assert report.container_runtime == "containerd://2.1.9"
    assert report.checks == {
        "runtime": "runtime:pass:containerd://2.1.9",
        "criu": "criu:Version: 4.2.1",
        "criu_config": "criu_config:pass",
        "runc": "runc:pass:1.3.6",
        "checkpoint": "checkpoint:pass",
        "restore": "restore:pass:containerd 2.1.9 restores checkpoint images",
    }


def test_node_of_which_nothing_is_known_passes_none() -> None:
    report = node_report("node1", NodeFacts(), free_disk_bytes=0, options=[], now=AT)

    assert not report.checkpointing_enabled
    assert report.restore_supported == "none"
    assert all(":fail" in check for check in report.checks.values())


def test_failed_probe_says_why() -> None:
    facts = NodeFacts(
        NODE_INFO, probe=ProbeResult(AT, problem="The node has no usable CRIU. Install CRIU", obstacle="x")
    )

    report = node_report("node1", facts, free_disk_bytes=0, options=[], now=AT)

    assert report.checks["checkpoint"] == "checkpoint:fail:The node has no usable CRIU. Install CRIU"


def test_what_the_kubelet_had_against_it_is_a_word_of_its_own() -> None:
    facts = NodeFacts(NODE_INFO, probe=ProbeResult(AT, problem="No", obstacle=FreezeObstacle.NOT_OFFERED))

    report = node_report("node1", facts, free_disk_bytes=0, options=[], now=AT)

    assert report.freeze_obstacle == "kubelet-offers-no-checkpoints"


def test_node_with_the_runtime_engine_tells_of_both() -> None:
    engine = RuntimeEngine(installed=True, handler_binary="/opt/ksnap/bin/ksnap-runc")
    facts = NodeFacts(NODE_INFO, probe=ProbeResult(AT), switches=RuntimeSwitches(), engine=engine)

    report = node_report("node1", facts, free_disk_bytes=0, options=[], now=AT)

    assert (report.restore_supported, report.image_restore) == ("runtime", True)
    assert report.checks["restore"].startswith("restore:pass:ksnap-runc")


def test_runtime_engine_is_looked_for_on_the_node(tmp_path: Path) -> None:
    binary = tmp_path / "opt" / "bin" / "ksnap-runc"
    settings = AgentSettings(node_name="n", runtime_binary=binary, containerd_config_dir=tmp_path)
    assert runtime_engine(settings) == RuntimeEngine()

    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh")
    table = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.ksnap.options]"
    (tmp_path / "config.toml").write_text(f"{table}\nBinaryName = '/opt/ksnap/bin/ksnap-runc'")
    assert not runtime_engine(settings).installed, "not executable"

    binary.chmod(0o755)
    assert runtime_engine(settings) == RuntimeEngine(installed=True, handler_binary="/opt/ksnap/bin/ksnap-runc")


def test_criu_that_froze_the_probe_passes_without_a_version() -> None:
    report = node_report("n", NodeFacts(probe=ProbeResult(AT)), free_disk_bytes=0, options=[], now=AT)

    assert report.checks["criu"] == "criu:pass"


def test_a_failed_self_test_takes_the_runtime_engine_away(tmp_path: Path) -> None:
    settings = AgentSettings(node_name="n", runtime_binary=tmp_path / "ksnap-runc", containerd_config_dir=tmp_path)
    for text, reason in (
        ('{"works": true, "reason": ""}', ""),
        ('{"works": false, "reason": "no criu in PATH"}', "no criu in PATH"),
        ("not JSON", ""),
    ):
        (tmp_path / "self-test.json").write_text(text)
        assert runtime_engine(settings).failed_test == reason


def test_a_version_that_the_kubelet_has_lost_is_still_known() -> None:
    lost = {**NODE_INFO, "kubeletVersion": "v1.36.4", "containerRuntimeVersion": "containerd://Unknown"}
    assert newer_info(NODE_INFO, lost) == {**NODE_INFO, "kubeletVersion": "v1.36.4"}
    assert newer_info({}, lost) == lost
    assert newer_info(lost, NODE_INFO) == NODE_INFO
