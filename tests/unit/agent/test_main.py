"""The agent's entrance as a process: it serves the node's runtime although no API server answers, and ends in order."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.certificates import issue_certificate
from tests.parties.registry import free_port
from tests.parties.restore_socket import ask, prepare_line

IMAGE = f"registry:5000/shop/web@sha256:{'1' * 64}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the socket's path."""
    with tempfile.TemporaryDirectory(prefix="ksnap-") as name:
        yield Path(name)


def environment(folder: Path, socket_path: Path) -> dict[str, str]:
    issue_certificate(folder)
    (folder / "token").write_text("t")
    settings = {
        "NODE_NAME": "n",
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": str(free_port()),
        "STATE_DIR": str(folder / "state"),
        "SOCKET_PATH": str(socket_path),
        "SERVICE_ACCOUNT_DIR": str(folder),
        "CHECKPOINTS_DIR": str(folder),
        "HOST_USR_DIR": str(folder),
        "CRIU_CONFIG_DIR": str(folder / "none"),
    }
    api_server = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    return {**os.environ, **api_server, **{f"KSNAP_AGENT_{name}": value for name, value in settings.items()}}


async def started(folder: Path, socket_path: Path, event: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ksnap.agent", env=environment(folder, socket_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if json.loads(line)["event"] == event:
                return process
    raise AssertionError(f"the agent ended without {event}")


async def ended(process: asyncio.subprocess.Process) -> list[dict[str, object]]:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")
async def test_it_answers_the_runtime_and_takes_its_socket_with_it(folder: Path) -> None:
    path = folder / "run" / "restore.sock"
    process = await started(folder, path, "agent_started")

    assert (await ask(path, prepare_line(IMAGE)))["reason"] == "ImageUnavailable"
    assert path.stat().st_mode & 0o777 == 0o600

    events = await ended(process)
    assert events[-1]["event"] == "agent_stopped"
    assert not [each for each in events if "exception" in each]
    assert not path.exists()


async def test_it_does_all_else_where_there_can_be_no_socket(folder: Path) -> None:
    (folder / "file").write_text("")
    process = await started(folder, folder / "file" / "restore.sock", "restore_socket_not_opened")
    assert (await ended(process))[-1]["event"] == "agent_stopped"
