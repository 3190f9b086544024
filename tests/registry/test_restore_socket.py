"""The unix socket between runtime and agent: who may speak there, garbage, too many at once, its beginning and end."""

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from ksnap.agent.restore_socket import RestoreSocket
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from tests.parties.archives import small_archive
from tests.parties.checkpoint_images import digest_of, push_tar
from tests.parties.fault_proxy import Fault, FaultProxy, Hang
from tests.parties.registry import needs_registry
from tests.parties.restore_socket import ask, ask_raw, exchange, prepare_line
from tests.registry.runtime_node import Node, request_for, running

pytestmark = [needs_registry, pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")]


class TestSocket:
    async def test_it_is_roots_alone(self, node: Node) -> None:
        assert node.socket.stat().st_mode & 0o777 == 0o600
        assert node.socket.parent.stat().st_mode & 0o777 == 0o700
        assert await as_nobody(node.socket) == "no way in"

    async def test_another_user_is_refused_even_where_the_folder_is_open(self, node: Node) -> None:
        for path, mode in ((node.socket.parent.parent, 0o755), (node.socket.parent, 0o755), (node.socket, 0o666)):
            path.chmod(mode)
        assert json.loads(await as_nobody(node.socket)) == {"error": "only root may speak here"}

    @pytest.mark.parametrize(
        "data",
        [b"\n", b"x\n", b"[]\n", b"{}\n", b"null\n", b'{"version": 2, "op": "prepare"}\n', b"\xff\xfe\n",
         b"[" * 60_000 + b"\n", b'{"version": 1, "op": "destroy"}\n', b"9" * 5000 + b"\n",
         b'{"version": 1, "op": "prepare"}\n'],
    )  # fmt: skip
    async def test_garbage_is_answered_and_closed(self, node: Node, data: bytes) -> None:
        assert set(await ask_raw(node.socket, data)) == {"error"}

    @pytest.mark.parametrize(
        "fields",
        [{"namespace": "../x"}, {"pod": ""}, {"container_id": "a/b"}, {"deadline_ms": -1}, {"deadline_ms": "NaN"},
         {"container": "A" * 300}, {"version": 2}, {"pod": "web\n"}],
    )  # fmt: skip
    async def test_fields_that_are_none_are_refused_by_name(
        self, image: ImageRef, node: Node, fields: dict[str, object]
    ) -> None:
        answer = await ask(node.socket, prepare_line(image, **fields))
        assert next(iter(fields)) in answer["error"]

    async def test_unknown_fields_are_ignored(self, image: ImageRef, node: Node) -> None:
        assert "reason" in await ask(node.socket, prepare_line(image, later="x"))

    async def test_long_line_is_refused(self, image: ImageRef, node: Node) -> None:
        answer = await ask(node.socket, prepare_line(image, more="x" * 70_000))
        assert "65536" in answer["error"]
        assert "reason" in await ask(node.socket, prepare_line(image, more="x" * 60_000))

    async def test_line_that_never_ends_is_given_up(self, node: Node) -> None:
        begun = time.monotonic()
        assert "no line" in (await ask_raw(node.socket, b'{"version": 1'))["error"]
        assert 4 < time.monotonic() - begun < 9

    async def test_line_without_its_end_at_the_connections_end_is_garbage_or_whole(self, node: Node) -> None:
        reader, writer = await asyncio.open_unix_connection(str(node.socket))
        writer.write(b'{"version": 1')
        writer.write_eof()
        assert "error" in json.loads(await reader.read())
        writer.close()

    async def test_too_many_connections_are_told(self, image: ImageRef, node: Node) -> None:
        held = [await asyncio.open_unix_connection(str(node.socket)) for _ in range(64)]
        # They are accepted in order: the 65th is the one too many.
        assert "too many" in json.loads(await exchange(node.socket, b""))["error"]
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        for _ in range(100):
            answer = await ask(node.socket, prepare_line(image))
            if "reason" in answer:
                break
            await asyncio.sleep(0.05)
        assert "reason" in answer

    async def test_stale_socket_is_replaced_and_gone_at_the_end(self, folder: Path) -> None:
        path = folder / "run" / "restore.sock"
        path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as former:
            former.bind(str(path))
        async with running(folder) as node:
            assert "error" in await ask(node.socket, {})
        assert not path.exists()

    async def test_the_next_agents_socket_is_left_alone(self, folder: Path) -> None:
        """A node's new agent may be there before the old one has ended."""
        async with running(folder) as first:
            later = RestoreSocket(first.socket, first.restores, first.service.captures.freezes)
            await later.__aenter__()
        assert (folder / "run" / "restore.sock").exists()
        await later.__aexit__()
        assert not (folder / "run" / "restore.sock").exists()

    async def test_something_else_in_its_place_is_not_removed(self, folder: Path) -> None:
        (folder / "run").mkdir()
        (folder / "run" / "restore.sock").write_text("mine")
        with pytest.raises(OSError, match="in use"):
            async with running(folder):
                pass
        assert (folder / "run" / "restore.sock").read_text() == "mine"

    async def test_it_ends_cleanly_under_whoever_waits(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, folder: Path
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        proxy.add(Fault("GET", "/blobs/", Hang(), times=None))
        async with running(folder) as node:
            await node.client.prefetch_image(digest_of(image), request_for(image, access))
            line = json.dumps(prepare_line(image, deadline_ms=60_000)).encode() + b"\n"
            waiting = asyncio.ensure_future(exchange(node.socket, line))
            idle = await asyncio.open_unix_connection(str(node.socket))
            await asyncio.sleep(0.2)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
        assert await waiting == b"", "closed without an answer: the runtime starts cold"
        idle[1].close()
        proxy.release()
        assert os.listdir(folder / "state" / "images") == []


# What an ordinary user's program gets, and whether it could connect at all.
_AS_NOBODY = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
talk = socket.socket(socket.AF_UNIX)
talk.settimeout(5)
try:
    talk.connect(sys.argv[1])
except PermissionError:
    print("no way in")
else:
    print(talk.recv(1000).decode())
"""


async def as_nobody(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _AS_NOBODY, str(path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()
