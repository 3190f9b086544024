"""Reads the runtime's switches out of its configuration files; nothing else in them is looked at.

containerd merges the files named by `imports` (globs) into the main file, later ones winning; plugin tables carry the
id of the plugin, whose spelling changed with the configuration's version. CRI-O reads crio.conf, then crio.conf.d.
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ksnap.agent.restore_support import RuntimeSwitches
from ksnap.model.container_runtime import CONTAINERD_CRIU_SWITCH, CONTAINERD_SWITCH, CRIO_SWITCH

_PLUGINS = ("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri")
_CONTAINERD_DIR = PurePosixPath("/etc/containerd")


def containerd_switches(config_dir: Path) -> RuntimeSwitches:
    """`config_dir` is the node's /etc/containerd, wherever it is mounted. No file at all means all defaults."""
    switches: dict[str, bool] = {}
    try:
        for document in containerd_documents(config_dir):
            for plugin in _PLUGINS:
                switches.update(_booleans(document.get("plugins", {}).get(plugin, {})))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return RuntimeSwitches(readable=False)
    return RuntimeSwitches(restore=switches.get(CONTAINERD_SWITCH), criu=switches.get(CONTAINERD_CRIU_SWITCH))


def crio_switches(config_dir: Path) -> RuntimeSwitches:
    """`config_dir` is the node's /etc/crio."""
    switches: dict[str, bool] = {}
    try:
        files = [config_dir / "crio.conf", *sorted((config_dir / "crio.conf.d").glob("*.conf"))]
        for path in (each for each in files if each.is_file()):
            switches.update(_booleans(tomllib.loads(path.read_text()).get("crio", {}).get("runtime", {})))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return RuntimeSwitches(readable=False)
    return RuntimeSwitches(criu=switches.get(CRIO_SWITCH), readable=config_dir.is_dir())


def runtime_handler_binary(config_dir: Path, handler: str) -> str:
    """The `BinaryName` that containerd's configuration gives a runtime handler; empty if it names none."""
    binary = ""
    try:
        for document in containerd_documents(config_dir):
            for plugin in _PLUGINS:
                binary = _binary_of(document, plugin, handler) or binary
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return ""
    return binary


def _binary_of(document: Mapping[str, Any], plugin: str, handler: str) -> str:
    with suppress(KeyError, TypeError):
        return str(document["plugins"][plugin]["containerd"]["runtimes"][handler]["options"]["BinaryName"])
    return ""


def containerd_documents(config_dir: Path) -> Iterator[Mapping[str, Any]]:
    """The main file and what it imports, parsed, in the order in which containerd merges them."""
    main = config_dir / "config.toml"
    if not main.is_file():
        return
    document = tomllib.loads(main.read_text())
    yield document
    for pattern in document.get("imports", []):
        for path in _imported(config_dir, str(pattern)):
            yield tomllib.loads(path.read_text())


def _imported(config_dir: Path, pattern: str) -> list[Path]:
    """The imported files that lie below /etc/containerd; the agent sees no others."""
    path = PurePosixPath(pattern)
    if path.is_absolute():
        if not path.is_relative_to(_CONTAINERD_DIR):
            return []
        path = path.relative_to(_CONTAINERD_DIR)
    return sorted(each for each in config_dir.glob(str(path)) if each.is_file())


def _booleans(table: Mapping[str, Any]) -> dict[str, bool]:
    return {name: value for name, value in table.items() if isinstance(value, bool)}
