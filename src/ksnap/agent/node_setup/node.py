"""Brings a node's files into the state that ksnap wants, or back, and restarts containerd only if something changed.

Every file is replaced whole (written aside, renamed). What is already as wanted is not touched, so a second run does
nothing. A configuration that containerd refuses is taken back, so that the node is never left without a runtime.
"""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import structlog

from ksnap.agent.node_setup import containerd_config, containerd_service
from ksnap.agent.node_setup.self_test import OUTCOME_FILE, Outcome
from ksnap.agent.runtime_config import containerd_documents
from ksnap.errors import KsnapError

log = structlog.get_logger()

BINARY = PurePosixPath("/opt/ksnap/bin/ksnap-runc")
"""Where containerd finds the wrapper, as the node sees it."""

PROC = Path("/proc")

Change = tuple[Path, bytes | None]
"""A file and what it is to hold; None: it is to go."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where the node's folders are mounted here."""

    etc_containerd: Path = Path("/host/etc-containerd")
    opt_ksnap: Path = Path("/host/opt-ksnap")
    containerd_socket: Path = Path("/host/run-containerd/containerd.sock")
    proc: Path = PROC
    source: Path = Path("/opt/ksnap/bin/ksnap-runc")
    """The wrapper in this image."""
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered for a restart: containerd is at work on nothing in there."""

    def install(self) -> bool:
        """Install; False if all was there. Conflict says which line of the node's own is in the way."""
        main = _read(self._main)
        self._put(self._binary, self.source.read_bytes(), mode=0o755)
        documents = [each for each in containerd_documents(self.etc_containerd) if not containerd_config.is_ours(each)]
        runc = containerd_config.runc_options(documents).get("BinaryName")
        self._put(self._binary.with_name("ksnap-runc.json"), json.dumps({"runc": runc} if runc else {}).encode())
        wanted = containerd_config.drop_in(documents, binary=BINARY, made_folder=self._made_folder())
        text = containerd_config.with_import(None if main is None else main.decode())
        return self._change([(self._drop_in, wanted.encode()), (self._main, text.encode())])

    def remove(self) -> bool:
        """Take all of it back; False if there was nothing."""
        main = _read(self._main)
        before = None if main is None else containerd_config.without_import(main.decode())
        made_folder = self._drop_in.exists() and self._made_folder()
        changed = self._change([(self._main, None if before is None else before.encode()), (self._drop_in, None)])
        if made_folder:
            _remove_if_empty(self._drop_in.parent)
        for file in (self._binary, self._binary.with_name("ksnap-runc.json"), self._outcome):
            file.unlink(missing_ok=True)
        _remove_if_empty(self._binary.parent)
        return changed

    def keep_outcome(self, outcome: Outcome) -> None:
        """Leave what the self-test found where the agent reads it."""
        self._put(self._outcome, outcome.model_dump_json().encode())

    def _made_folder(self) -> bool:
        """Whether the drop-in's folder is of our making: it is not there, or the drop-in in it says so."""
        written = _read(self._drop_in) or b""
        return not self._drop_in.parent.exists() or containerd_config.MADE_FOLDER.encode() in written

    @property
    def _main(self) -> Path:
        return self.etc_containerd / "config.toml"

    @property
    def _drop_in(self) -> Path:
        return self.etc_containerd / containerd_config.DROP_IN.relative_to("/etc/containerd")

    @property
    def _binary(self) -> Path:
        return self.opt_ksnap / "bin" / BINARY.name

    @property
    def _outcome(self) -> Path:
        return self._binary.with_name(OUTCOME_FILE)

    def _change(self, wanted: list[Change]) -> bool:
        """Carry out what differs and restart containerd; if that fails, put the former files back and restart again."""
        former: list[Change] = [(path, _read(path)) for path, _ in wanted]
        if former == wanted:
            log.info("node_is_as_wanted")
            return False
        with self.quiet():
            try:
                self._write_all(wanted)
                containerd_service.restart(self.proc, self.containerd_socket)
            except (KsnapError, OSError):
                log.warning("node_change_is_taken_back")
                self._write_all(former)
                containerd_service.restart(self.proc, self.containerd_socket)
                raise
        return True

    def _write_all(self, changes: list[Change]) -> None:
        for path, content in changes:
            if content is None:
                path.unlink(missing_ok=True)
            else:
                self._put(path, content)

    def _put(self, path: Path, content: bytes, *, mode: int = 0o644) -> None:
        """Replace a file whole, unless it holds this already."""
        if _read(path) == content and path.stat().st_mode & 0o777 == mode:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.ksnap")
        aside.write_bytes(content)
        aside.chmod(mode)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        log.info("node_file_written", path=str(path))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _remove_if_empty(folder: Path) -> None:
    """A folder of our making goes, unless somebody else has put something into it."""
    try:
        folder.rmdir()
    except OSError:
        return
