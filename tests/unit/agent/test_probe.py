"""A probe that outlives its question: its archive is removed whenever it comes, by whichever agent runs then."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksnap.agent.containerd_lock import containerd_alone
from ksnap.agent.dump import is_runtime_away
from ksnap.agent.probe import NOT_PROBED, Probe
from ksnap.agent.settings import AgentSettings
from ksnap.errors import CheckpointFailed
from tests.parties.node_agent import agent_settings, kubelet_of

TIME = "2026-11-22T10:10:08Z"


@pytest.fixture
def silent_kubelet() -> Iterator[int]:
    """The port of one that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def probe_of(settings: AgentSettings) -> Probe:
    return Probe(settings, kubelet_of(settings))


def settings_of(folder: Path, pod: str, port: int = 1) -> AgentSettings:
    return agent_settings(folder, pod_name=pod, pod_namespace="ksnap", probe_timeout_s=0.3, kubelet_port=port)


def archive(settings: AgentSettings, pod: str, container: str = "probe") -> Path:
    path = settings.checkpoints_dir / f"checkpoint-{pod}_ksnap-{container}-{TIME}.tar"
    path.touch()
    return path


@pytest.mark.parametrize("ended", ["its time passed", "its agent ended"])
async def test_next_pods_agent_removes_what_a_former_ones_probe_left(
    tmp_path: Path, silent_kubelet: int, ended: str
) -> None:
    probing = asyncio.ensure_future(probe_of(settings_of(tmp_path, "agent-1", silent_kubelet)).run())
    if ended == "its agent ended":
        await asyncio.sleep(0.15)
        probing.cancel()
    await asyncio.wait({probing})
    settings = settings_of(tmp_path, "agent-2")
    late = archive(settings, "agent-1")
    others = [archive(settings, "agent-3"), archive(settings, "agent-1", "agent")]
    probe_of(settings).remove_archives()

    assert not late.exists()
    assert all(each.exists() for each in others), "no probe of theirs is recorded"


async def test_probe_is_looked_after_until_no_archive_can_come(tmp_path: Path, silent_kubelet: int) -> None:
    settings = settings_of(tmp_path, "agent-1", silent_kubelet)
    probe = probe_of(settings)
    result = await probe.run()
    assert "no end within" in result.problem
    (record,) = (settings.state_dir / "probes").iterdir()
    for _ in range(2):
        late = archive(settings, "agent-1")
        probe.remove_archives()
        assert not late.exists()
    long_ago = time.time() - settings.dump_limit_s - 120
    os.utime(record, (long_ago, long_ago))
    probe.remove_archives()

    assert not record.exists()


def test_node_without_probes_has_nothing_to_remove(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "agent-1")
    kept = archive(settings, "agent-1")
    probe_of(settings).remove_archives()

    assert kept.exists()


def test_runtime_that_is_restarted_says_nothing_of_the_node() -> None:
    away = "rpc error: code = Unavailable desc = connection error: dial unix /run/containerd/containerd.sock"
    assert is_runtime_away(CheckpointFailed("The runtime could not freeze the container", details=away))
    assert not is_runtime_away(CheckpointFailed("The runtime could not freeze the container", details="criu failed"))


async def test_no_probe_during_a_restart_of_containerd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would freeze a container that containerd then takes for lost."""
    monkeypatch.setattr("ksnap.agent.probe.RESTART_PATIENCE_S", 0.2)
    settings = settings_of(tmp_path, "agent-1")
    with containerd_alone(settings.state_dir, patience_s=0):
        result = await probe_of(settings).run()
    assert result.problem == NOT_PROBED.problem
    assert list(settings.checkpoints_dir.glob("*")) == []
