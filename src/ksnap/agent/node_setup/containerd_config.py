"""containerd's configuration with our runtime handler in it, and without: texts in, texts out. Pure.

A drop-in file holds the handler; the main file has to import it. containerd 2 merges imported tables key by key
(cmd/containerd/server/config), so that the drop-in names nothing but what is ours. TOML wants keys of the whole file
before the first table, hence an import of ours is the first line.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from ksnap.errors import Conflict

HANDLER = "ksnap"
DROP_IN = PurePosixPath("/etc/containerd/conf.d/50-ksnap.toml")
IMPORT_LINE = "imports = ['/etc/containerd/conf.d/*.toml']  # ksnap: node set-up\n"
# The whole main file where a node had none: containerd then runs with its defaults, as before.
WHOLE_FILE = f"version = 3  # ksnap: node set-up\n{IMPORT_LINE}"
ANNOTATIONS = ("restore.ksnap.dev/*", "hostname.ksnap.dev/*", "ksnap.dev/*")

_PLUGIN = "io.containerd.cri.v1.runtime"
_OLD_PLUGIN = "io.containerd.grpc.v1.cri"
_RUNC = "io.containerd.runc.v2"

Document = Mapping[str, Any]


# Stands in a drop-in whose folder was not there before: the folder goes with it.
MADE_FOLDER = "# ksnap: made this folder"


def drop_in(documents: Sequence[Document], *, binary: PurePosixPath, made_folder: bool) -> str:
    """The drop-in's text. `documents` are the node's files, parsed, in the order in which containerd merges them.

    The handler takes over what the node's own runc handler is told (its cgroup driver above all), but for the binary.
    """
    options = {**runc_options(documents), "BinaryName": str(binary)}
    table = f"plugins.'{_PLUGIN}'.containerd.runtimes.{HANDLER}"
    annotations = "[" + ", ".join(f"'{each}'" for each in ANNOTATIONS) + "]"
    lines = [
        "# ksnap: written by its node set-up, which takes it back when ksnap is uninstalled.",
        *([MADE_FOLDER] if made_folder else []),
        "version = 3",
        "",
        f"[{table}]",
        f"runtime_type = '{_RUNC}'",
        f"pod_annotations = {annotations}",
        f"container_annotations = {annotations}",
        "",
        f"[{table}.options]",
        *(f"{name} = {_toml(value)}" for name, value in sorted(options.items())),
    ]
    return "\n".join(lines) + "\n"


def runc_options(documents: Sequence[Document]) -> dict[str, str | bool | int]:
    """The options of the node's default handler, if that is runc; of `runc` otherwise."""
    name, options = "runc", {}
    for document in documents:
        for plugin in (_OLD_PLUGIN, _PLUGIN):
            name = document.get("plugins", {}).get(plugin, {}).get("containerd", {}).get("default_runtime_name", name)
    for candidate in (name, "runc"):
        merged: dict[str, Any] = {}
        for document in documents:
            merged = _merged(merged, _runtime(document, candidate))
        if merged.get("runtime_type", _RUNC) == _RUNC:
            options = merged.get("options", {})
            break
    return {key: value for key, value in options.items() if isinstance(value, str | bool | int)}


def with_import(text: str | None) -> str:
    """The main file's text with an import that covers the drop-in; Conflict if its own imports are in the way."""
    if text is None:
        return WHOLE_FILE
    document = tomllib.loads(text)
    if document.get("version", 1) < 2:
        raise Conflict(
            "containerd's configuration is of version 1",
            details="no CRI runtime of this version restores containers",
            hint="Upgrade containerd to 2.x, and migrate the file: containerd config migrate",
        )
    if covers(document.get("imports", [])):
        return text
    if "imports" in document:
        raise Conflict(
            "containerd's configuration has imports of its own",
            details=f"imports = {json.dumps(document['imports'])} does not cover {DROP_IN}",
            hint=f"Add '{DROP_IN.parent}/*.toml' to them, or set nodeSetup.enabled=false and follow the guide",
        )
    return IMPORT_LINE + text


def without_import(text: str) -> str | None:
    """The main file's text as it was before us; None if the file was ours."""
    if text == WHOLE_FILE:
        return None
    return "".join(line for line in text.splitlines(keepends=True) if line != IMPORT_LINE)


def covers(imports: Sequence[object]) -> bool:
    """Whether one of the patterns takes the drop-in in."""
    return any(_matches(str(each)) for each in imports)


def _matches(pattern: str) -> bool:
    path = PurePosixPath(pattern)
    absolute = path if path.is_absolute() else PurePosixPath("/etc/containerd") / path
    return absolute.parent == DROP_IN.parent and fnmatchcase(DROP_IN.name, absolute.name)


def is_ours(document: Document) -> bool:
    """Whether a parsed file is the drop-in: what it says must not be taken for the node's own."""
    plugins = document.get("plugins", {})
    return any(HANDLER in each.get("containerd", {}).get("runtimes", {}) for each in plugins.values())


def _runtime(document: Document, name: str) -> Mapping[str, Any]:
    plugins = document.get("plugins", {})
    found: Mapping[str, Any] = {}
    for plugin in (_OLD_PLUGIN, _PLUGIN):
        found = plugins.get(plugin, {}).get("containerd", {}).get("runtimes", {}).get(name, found)
    return found


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    options = {**first.get("options", {}), **second.get("options", {})}
    return {**first, **second, "options": options}


def _toml(value: object) -> str:
    """A scalar. JSON's strings, booleans and integers are TOML's."""
    return json.dumps(value)
