"""A process is known by pid, start and boot; nobody else is ever ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.cluster import processes
from dev.cluster.capabilities import CAP_SYS_RESOURCE, effective
from dev.cluster.mounts import parse_mount_points
from dev.cluster.processes import ProcessId


@pytest.fixture
def sleeper() -> Iterator[ProcessId]:
    """A process of ours that sleeps until it is ended."""
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = processes.identify(process.pid)
        assert identity is not None
        yield identity
        process.kill()


def test_a_stat_is_read_whatever_the_name_holds() -> None:
    fields = ["S", *(str(number) for number in range(4, 53))]

    assert processes.parse_stat(f"12 (a) b (c) {' '.join(fields)}") == ("S", 22)


def test_a_reused_pid_is_not_the_process(sleeper: ProcessId) -> None:
    assert sleeper.alive()
    assert not replace(sleeper, start=sleeper.start + 1).alive()
    assert not replace(sleeper, boot="another").alive()


def test_only_the_very_process_is_ended(sleeper: ProcessId) -> None:
    processes.end([replace(sleeper, start=sleeper.start - 1)], grace_s=0)
    assert sleeper.alive()

    processes.end([sleeper], grace_s=5)
    assert not sleeper.alive()


def test_who_ignores_sigterm_is_killed() -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        identity = processes.identify(deaf.pid)
        assert identity is not None
        processes.end([identity], grace_s=0.2)

        assert not identity.alive()


def test_a_spawned_process_is_recorded_and_found_again(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "out.log"
    started = processes.spawn(["sh", "-c", "echo hello; exec sleep 60"], log)
    processes.save(started, tmp_path / "record")
    try:
        assert processes.load(tmp_path / "record") == started
        assert os.getsid(started.pid) == started.pid
        deadline = time.monotonic() + 30
        while log.read_text() != "hello\n":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        processes.end([started], grace_s=5)


@pytest.mark.parametrize("text", ["", '{"pid": 1', '{"pid": 1}', "[]"])
def test_a_broken_record_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)

    assert processes.load(tmp_path / "record") is None


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert processes.identify(process.pid) is None
    process.wait()


def test_children_are_found() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in processes.children(os.getpid())
        child.send_signal(signal.SIGKILL)


def test_capabilities_are_read_from_a_status() -> None:
    without = effective("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n")
    everything = effective("CapEff:\t000001ffffffffff\n")

    assert not without >> CAP_SYS_RESOURCE & 1
    assert everything >> CAP_SYS_RESOURCE & 1


def test_mount_points_are_decoded() -> None:
    lines = "22 1 0:21 / /proc rw - proc proc rw\n23 1 8:1 /x /mnt/my\\040disk rw shared:1 - ext4 /dev/sda rw\n"

    assert parse_mount_points(lines) == [Path("/proc"), Path("/mnt/my disk")]


def test_a_long_command_ends_with_whoever_called_it(tmp_path: Path) -> None:
    call = "from dev.cluster.commands import run_logged; from pathlib import Path; "
    call += f"run_logged(['sh', '-c', 'echo $$; exec sleep 60'], log=Path('{tmp_path}/log'), timeout_s=60)"
    with subprocess.Popen([sys.executable, "-c", call]) as caller:
        until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() != "")
        command = processes.identify(int((tmp_path / "log").read_text()))
        caller.kill()

    assert command is not None
    until(lambda: not command.alive())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
