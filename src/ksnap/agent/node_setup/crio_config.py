"""CRI-O's configuration with our runtime handler in it: parsed files in, a drop-in's text out. Pure.

For people, who install it by hand: the node set-up knows containerd alone. CRI-O reads crio.conf, then crio.conf.d in
the order of the names, later ones winning (crio.conf(5)); a handler is a table of its own below crio.runtime.runtimes.

`allowed_annotations` is not containerd's `container_annotations`: CRI-O ends at a name there that it does not know, and
passes every other annotation of a pod on to its containers unasked (pkg/config and internal/factory/container of
CRI-O 1.34). Ours are not in it, therefore.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ksnap.agent.node_setup.containerd_config import HANDLER
from ksnap.model.container_runtime import CRIO_SWITCH

DROP_IN = PurePosixPath("/etc/crio/crio.conf.d/50-ksnap.conf")
# CRI-O's own default: where runc keeps its containers' state.
RUNTIME_ROOT = "/run/runc"
# The monitor starts the wrapper, and runc looks for criu in what the monitor's environment calls PATH.
MONITOR_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)

_OCI = "oci"
# What a node tells its handler of the monitor and of its pods is true for any runtime of this kind.
_TAKEN_OVER = ("monitor_path", "monitor_cgroup", "monitor_exec_cgroup", "monitor_env", "allowed_annotations")

Document = Mapping[str, Any]


def drop_in(documents: Sequence[Document], *, binary: PurePosixPath) -> str:
    """The drop-in's text. `documents` are the node's files, parsed, in the order in which CRI-O reads them; the handler
    takes over what its default one says of the monitor and of annotations."""
    options: dict[str, object] = {
        "runtime_path": str(binary),
        "runtime_type": _OCI,
        "runtime_root": RUNTIME_ROOT,
        "monitor_env": list(MONITOR_ENV),
        **_taken_over(documents),
    }
    lines = [
        "# ksnap: a runtime handler that restores; delete the file and restart crio to be rid of it.",
        "[crio.runtime]",
        f"{CRIO_SWITCH} = true",
        "",
        f"[crio.runtime.runtimes.{HANDLER}]",
        *(f"{name} = {_toml(value)}" for name, value in options.items()),
    ]
    return "\n".join(lines) + "\n"


def _taken_over(documents: Sequence[Document]) -> dict[str, object]:
    """Of the default handler, if that is no virtual machine's; CRI-O replaces a handler's table whole."""
    name = ""
    handlers: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        runtime = document.get("crio", {}).get("runtime", {})
        name = runtime.get("default_runtime", name)
        handlers.update(runtime.get("runtimes", {}))
    # Without a word on it the one handler that there is, runc or crun by CRI-O's version, is the default.
    default = handlers.get(name) or handlers.get("crun") or handlers.get("runc") or {}
    if default.get("runtime_type", _OCI) not in {"", _OCI}:
        return {}
    return {key: default[key] for key in _TAKEN_OVER if default.get(key)}


def _toml(value: object) -> str:
    """A string or a list of strings: JSON's are TOML's."""
    return json.dumps(value)
