"""`up` starts from any leftover, `down` leaves nothing: tried on a second instance, so that nobody else notices.

The tests build on each other's wreck on purpose: each begins by whatever state the one before ended in.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.cluster import cgroups, control, info, processes, status
from dev.cluster.info import ClusterInfo, node_exec
from dev.cluster.layout import Layout
from dev.cluster.mounts import mounts_below
from dev.cluster.network import NETNS, link_exists
from dev.cluster.processes import ProcessId
from dev.cluster.settings import read_settings

pytestmark = [pytest.mark.timeout(400), pytest.mark.thorough]

REPOSITORY = Path(__file__).parents[2]
UP_S = 300


class Spare:
    """A second instance of one node, with a folder and addresses of its own."""

    def __init__(self, state: Path) -> None:
        own = {"KSNAP_CLUSTER_INSTANCE": "spare", "KSNAP_CLUSTER_SUBNET": "10.97", "KSNAP_CLUSTER_DIR": str(state)}
        self.env = {**os.environ, **own}
        self.layout = Layout(read_settings(self.env))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "dev.cluster", *words],
            cwd=REPOSITORY,
            env=self.env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> None:
        process = self.start(*words)
        _, said = process.communicate(timeout=UP_S)
        assert process.returncode == 0, said

    def up(self) -> ClusterInfo:
        self.run("up", "--nodes", "1")
        assert status.read(self.layout).healthy
        return info.load(self.layout.settings)


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spare]:
    """The second instance, ended and forgotten after the module."""
    instance = Spare(tmp_path_factory.mktemp("spare"))
    try:
        yield instance
    finally:
        instance.run("down", "--forget")


def test_up_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    process = Spare(tmp_path).start("up")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "not a cluster of ours" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_up_on_a_healthy_cluster_changes_nothing(spare: Spare) -> None:
    first = spare.up()

    assert spare.up() == first


def test_containerd_is_started_again_when_it_dies(spare: Spare) -> None:
    node = spare.up().nodes[0]
    before = _pid_of(spare, "containerd")
    node_exec(node, ["pkill", "--signal=KILL", "--exact", "containerd"])

    _until(lambda: _pid_of(spare, "containerd") not in (0, before))
    _until(lambda: status.read(spare.layout).healthy)


def test_a_power_cut_and_a_restart_bring_the_node_back(spare: Spare) -> None:
    before = spare.up().nodes[0]
    spare.run("restart-node", before.name, "--power-cut")
    after = info.load(spare.layout.settings).nodes[0]

    assert after.leader_pid != before.leader_pid
    assert status.read(spare.layout).healthy


def test_up_mends_a_node_that_was_killed(spare: Spare) -> None:
    before = spare.up().nodes[0]
    os.kill(before.pid, signal.SIGKILL)

    assert spare.up().nodes[0].pid != before.pid


def test_up_mends_a_control_plane_that_was_killed_and_leaves_nodes_alone(spare: Spare) -> None:
    before = spare.up()
    recorded = processes.load(control.record(spare.layout, control.UNIT))
    assert recorded is not None
    os.kill(recorded.pid, signal.SIGKILL)

    assert spare.up().nodes == before.nodes


def test_a_restart_of_the_control_plane_leaves_nodes_alone(spare: Spare) -> None:
    before = spare.up()
    spare.run("restart-control")

    assert info.load(spare.layout.settings).nodes == before.nodes
    _until(lambda: status.read(spare.layout).healthy)


def test_a_lost_authority_is_made_anew_and_reaches_the_nodes(spare: Spare) -> None:
    before = spare.up().ca_file.read_text()
    spare.run("down")
    spare.layout.ca.unlink()

    assert spare.up().ca_file.read_text() != before


def test_up_mends_a_cut_link(spare: Spare) -> None:
    spare.up()
    subprocess.run(["ip", "link", "delete", spare.layout.node(1).link], check=True)

    spare.up()


def test_lost_and_broken_records_are_made_up_for_by_cgroups(spare: Spare) -> None:
    before = spare.up().nodes[0]
    control.record(spare.layout, "node1").unlink()
    control.record(spare.layout, control.UNIT).write_text('{"pid": 1')
    after = spare.up().nodes[0]

    assert after.pid != before.pid
    assert processes.identify(before.leader_pid) is None


@pytest.mark.parametrize("after_s", [1.0, 3.0, 6.0])
def test_up_follows_a_killed_up(spare: Spare, after_s: float) -> None:
    spare.run("down")
    process = spare.start("up", "--nodes", "1")
    time.sleep(after_s)
    process.kill()
    process.communicate()

    spare.up()


def test_a_stale_record_ends_nobody_else(spare: Spare) -> None:
    spare.run("down")
    with subprocess.Popen(["sleep", "600"]) as innocent:
        now = processes.identify(innocent.pid)
        assert now is not None
        processes.save(replace(now, start=now.start - 1), control.record(spare.layout, "node1"))
        spare.run("down")

        assert innocent.poll() is None
        innocent.kill()


def test_down_leaves_nothing_behind(spare: Spare) -> None:
    node = spare.up().nodes[0]
    sysctls = json.loads((spare.layout.state / "sysctls.json").read_text())
    leader = processes.identify(node.leader_pid)
    spare.run("down")

    assert isinstance(leader, ProcessId)
    assert not leader.alive()
    assert not any((tree / "spare").exists() for tree in cgroups.trees())
    assert not any(link_exists(name) for name in (spare.layout.bridge, spare.layout.node(1).link))
    assert not (NETNS / spare.layout.node(1).netns).exists()
    assert mounts_below(spare.layout.state) == []
    assert {name: (Path("/proc/sys") / name).read_text().strip() for name in sysctls} == sysctls
    assert not status.read(spare.layout).healthy


def _pid_of(spare: Spare, service: str) -> int:
    found = status.read(spare.layout)
    return next(int(item["pid"]) for unit in found.units for item in unit.services if item["name"] == service)


def _until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
