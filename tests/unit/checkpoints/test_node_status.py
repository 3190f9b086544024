"""What reports mean: the words of the contract's section 8."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ksnap.checkpoints.node_status import cluster_state, node_state, passes_upstreams, reported_at
from ksnap.checkpoints.restore_nodes import Choice, answering, choose
from ksnap.errors import Conflict
from ksnap.model.container_runtime import VERSION_NOT_TOLD
from ksnap.node.protocol import NodeReport

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(name: str = "node1", *, minutes_old: float = 0, able: bool = True, **more: Any) -> NodeReport:
    time = NOW - timedelta(minutes=minutes_old)
    return NodeReport(node_name=name, timestamp=time, agent_version="1", checkpointing_enabled=able, **more)


def test_a_node_is_ready_not_ready_or_unknown() -> None:
    assert node_state(report(), NOW).word == "ready"
    assert node_state(report(minutes_old=10), NOW).word == "ready"
    assert node_state(report(minutes_old=10.1), NOW).word == "unknown"
    failed = node_state(report(able=False, checks={"criu": "criu:fail:not_installed"}), NOW)
    assert (failed.word, failed.reason) == ("not_ready", "criu: criu:fail:not_installed")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("runtime", "not_ready"),
        ("crio", "not_ready"),
        ("criu", "not_ready"),
        ("checkpoint", "not_ready"),
        # A node without tcp-close freezes what has no connections, and one that cannot restore can still freeze.
        ("criu_config", "ready"),
        ("restore", "ready"),
        ("runc", "ready"),
    ],
)
def test_a_failed_check_that_a_freeze_needs_makes_a_node_not_ready(name: str, word: str) -> None:
    state = node_state(report(checks={name: f"{name}:fail:x"}), NOW)
    assert state.word == word
    assert (f"{name}:fail:x" in state.reason) == (word == "not_ready")


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({}, True),
        ({"crio": "crio:pass", "criu": "criu:pass", "criu_config": "criu_config:pass:auto_configured"}, True),
        ({"crio": "crio:fail:1.30"}, False),
        ({"criu": "criu:fail:cannot_execute"}, False),
        ({"criu_config": "criu_config:fail:x"}, False),
        ({"criu": ""}, False),
        ({"criu_config": "unknown"}, False),
    ],
)
def test_upstreams_three_checks_must_pass(change: dict[str, str], passes: bool) -> None:  # noqa: FBT001 - a row
    good = {"crio": "crio:crio version 1.31.2", "criu": "criu:Version: 3.19", "criu_config": "criu_config:pass"}
    assert passes_upstreams({**good, **change}) is passes
    assert not passes_upstreams({})


@pytest.mark.parametrize(
    ("reports", "schedulable", "words"),
    [
        ([], None, ("unknown", "not_deployed")),
        ([report()], {"node1"}, ("healthy", "running")),
        ([report()], {"node1", "node2"}, ("healthy", "degraded")),
        ([report(), report("node2", able=False)], {"node1", "node2"}, ("degraded", "running")),
        ([report(able=False)], {"node1"}, ("unhealthy", "running")),
        ([report(minutes_old=11)], {"node1"}, ("unknown", "unknown")),
        ([report(), report("node2", minutes_old=11)], {"node1", "node2"}, ("degraded", "degraded")),
        ([report(), report("node2", minutes_old=11)], {"node1"}, ("degraded", "running")),
        ([report(), report("node2", minutes_old=11)], {"node2"}, ("degraded", "degraded")),
        ([report(), report("node2", minutes_old=11)], None, ("degraded", "degraded")),
    ],
)
def test_a_clusters_words(reports: list[NodeReport], schedulable: set[str] | None, words: tuple[str, str]) -> None:
    state = cluster_state(reports, NOW, schedulable=frozenset(schedulable) if schedulable else None)
    assert (state.word, state.daemonset) == words


def test_the_last_update_is_the_newest_report() -> None:
    assert cluster_state([report(minutes_old=3), report("b", minutes_old=1)], NOW).last_update == NOW - timedelta(
        minutes=1
    )
    assert cluster_state([], NOW).last_update is None


def test_a_clock_that_is_off_is_not_believed() -> None:
    near, far = NOW - timedelta(minutes=4), NOW + timedelta(minutes=6)
    assert reported_at(near, NOW) == near
    assert reported_at(far, NOW) == NOW


def test_a_restore_goes_to_nodes_that_can() -> None:
    able = report("node1", restore_supported="image")
    lacking = report("node2", restore_reason="containerd 2.4 has no restore")
    assert choose([able, lacking], None, "auto") == Choice("image", ["node1"])
    with pytest.raises(Conflict) as caught:
        choose([able, lacking], "node2", "auto")
    assert "containerd 2.4 has no restore" in caught.value.details
    with pytest.raises(Conflict):
        choose([], None, "auto")


def test_a_restore_goes_to_no_node_whose_agent_is_gone() -> None:
    """What is stored of it is the last that was heard, and there is nobody to prove the restore."""
    here, gone = (report(name, restore_supported="image", image_restore=True) for name in ("node1", "node2"))
    assert choose(answering([here, gone], {"node1"}), None, "auto").nodes == ["node1"]
    with pytest.raises(Conflict) as caught:
        choose(answering([here, gone], set()), None, "auto")
    assert caught.value.details == "node1: no agent answers from it; node2: no agent answers from it"


def test_a_pod_bound_to_a_host_goes_there_or_nowhere() -> None:
    """Anywhere else it could never be scheduled; only who names a node sets the author's wish aside."""
    able, lacking = report("node1", restore_supported="image"), report("node2", restore_reason="too old")
    assert choose([able, lacking], None, "auto", bound_to="node1").nodes == ["node1"]
    assert choose([able, lacking], "node1", "auto", bound_to="node2").nodes == ["node1"]
    with pytest.raises(Conflict) as caught:
        choose([able, lacking], None, "auto", bound_to="node2")
    assert caught.value.details.startswith("node2: too old; the pod's nodeSelector binds it to node2")
    # A host name that is not the node's own: the scheduler knows, we do not.
    assert choose([able, lacking], None, "auto", bound_to="node1.example").nodes == ["node1"]


def test_the_runtime_engine_is_preferred_on_the_node_with_the_most_room() -> None:
    small = report(restore_supported="runtime", image_restore=True, free_disk_bytes=1)
    large = report("node2", restore_supported="runtime", free_disk_bytes=2)
    image = report("node3", restore_supported="image")
    reports = [small, large, image]
    assert choose(reports, None, "auto") == Choice("runtime", ["node2"])
    assert choose(reports, "node1", "auto") == Choice("runtime", ["node1"])
    assert choose(reports, "node3", "auto") == Choice("image", ["node3"])
    assert choose(reports, None, "image") == Choice("image", ["node1", "node3"])
    with pytest.raises(Conflict) as caught:
        choose(
            [report(restore_supported="runtime", restore_reason="all is well", container_runtime="containerd://2.4.2")],
            None,
            "image",
        )
    assert caught.value.details == "node1: containerd://2.4.2 restores no image"
    with pytest.raises(Conflict, match="restore") as caught:
        choose([report(restore_supported="runtime", container_runtime="containerd://Unknown")], None, "image")
    assert caught.value.details == f"node1: {VERSION_NOT_TOLD}"
    with pytest.raises(Conflict, match="cannot restore") as caught:
        choose(reports, "node3", "runtime")
    assert "nodeSetup" in caught.value.hint
