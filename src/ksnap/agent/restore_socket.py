"""The unix socket on which ksnap-runc asks for images and where dumps go, and tells outcomes: one JSON line each way
per connection.

Root alone may speak here (the folder's mode, the socket's mode, and SO_PEERCRED). Whatever comes in is bounded in
size, time and number; garbage gets an answer that says so. A node without this socket starts containers cold.
"""

import asyncio
import json
import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from ksnap.agent.direct_freeze import DirectFreezes
from ksnap.agent.restore_messages import (
    LINE_LIMIT,
    RESTORE_LINE,
    EndReport,
    FreezeQuestion,
    OutcomeReport,
    RestoreMessage,
)
from ksnap.agent.restores import Restores

log = structlog.get_logger()

_LINE_S = 5.0
_CONNECTIONS = 64
# pid, uid and gid of the peer (unix(7), SO_PEERCRED).
_CREDENTIALS = struct.Struct("3i")


class RestoreSocket:
    """`async with`: listens until the block ends; then nobody is answered any more, and the socket is gone."""

    def __init__(self, path: Path, restores: Restores, freezes: DirectFreezes) -> None:
        self._path = path
        self._restores = restores
        self._freezes = freezes
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RestoreSocket":
        listening = await asyncio.to_thread(_listen, self._path)
        self._inode = await asyncio.to_thread(_inode_of, self._path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=LINE_LIMIT)
        log.info("restore_socket_opened", path=str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.to_thread(_remove, self._path, self._inode)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.get_running_loop().create_task(self._talk(reader, writer), name="restore socket")
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The root of a connection: whatever goes wrong in one ends that one."""
        try:
            if len(self._talks) > _CONNECTIONS:
                await _answer(writer, _error("too many connections"))
            elif _peer_uid(writer) != 0:
                log.warning("restore_socket_refused", uid=_peer_uid(writer))
                await _answer(writer, _error("only root may speak here"))
            else:
                await self._exchange(reader, writer)
        except (OSError, TimeoutError) as exc:
            log.info("restore_socket_broke_off", reason=type(exc).__name__)
        except Exception:
            log.exception("restore_socket_broke")
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LINE_S):
                    await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LINE_S):
                line = await reader.readline()
        except TimeoutError:
            await _answer(writer, _error(f"no line within {_LINE_S:g} s"))
            return
        except ValueError:
            await _answer(writer, _error(f"a line of more than {LINE_LIMIT} bytes"))
            return
        try:
            message = RESTORE_LINE.validate_python(json.loads(line))
        except (ValueError, RecursionError) as exc:
            await _answer(writer, _error(_what_is_wrong(exc)))
            return
        await self._reply(message, writer)

    async def _reply(self, message: RestoreMessage, writer: asyncio.StreamWriter) -> None:
        if isinstance(message, FreezeQuestion):
            await _answer(writer, _encoded(self._freezes.answer(message.container_id)))
            return
        if isinstance(message, OutcomeReport | EndReport):
            # The runtime does not wait for what becomes of it, and may be gone already.
            with suppress(OSError, TimeoutError):
                await _answer(writer, b"{}")
            if isinstance(message, EndReport):
                await self._restores.ended(message)
            else:
                await self._restores.outcome(message)
            return
        answer = await self._restores.prepare(message)
        try:
            await _answer(writer, _encoded(answer))
        except (OSError, TimeoutError):
            await self._restores.abandoned(message)
            raise


async def _answer(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line + b"\n")
    async with asyncio.timeout(_LINE_S):
        await writer.drain()


def _encoded(message: BaseModel) -> bytes:
    return message.model_dump_json().encode()


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def _what_is_wrong(exc: Exception) -> str:
    """By field, never by value."""
    if isinstance(exc, ValidationError):
        fields = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors(include_input=False)]
        return "; ".join(fields)[:1000]
    return "not one line of JSON"


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    peer: socket.socket = writer.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _listen(path: Path) -> socket.socket:
    """A socket at the path, in place of a former agent's. Its folder is root's alone, so nobody is early."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    _remove(path, 0)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.setblocking(False)  # noqa: FBT003 - its only form
    except BaseException:
        listening.close()
        raise
    return listening


def _inode_of(path: Path) -> int:
    return path.lstat().st_ino


def _remove(path: Path, inode: int) -> None:
    """Take the socket away; with an inode only if it is that one, and not the next agent's. No other thing is taken."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISSOCK(found.st_mode) and inode in {0, found.st_ino}:
        with suppress(FileNotFoundError):
            path.unlink()
