"""Settings of the host's kernel that kubelets change for the whole machine. `up` notes them, `down` puts them back."""

from __future__ import annotations

import json
from pathlib import Path

PROC_SYS = Path("/proc/sys")
CHANGED_BY_KUBELETS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def note(file: Path, root: Path = PROC_SYS) -> None:
    """Write down the values, unless an earlier run did: only the first saw the machine untouched."""
    if file.exists():
        return
    values = {name: (root / name).read_text().strip() for name in CHANGED_BY_KUBELETS if (root / name).exists()}
    half = file.with_suffix(".tmp")
    half.write_text(json.dumps(values, indent=1))
    half.replace(file)


def put_back(file: Path, root: Path = PROC_SYS) -> None:
    """Restore the noted values and forget them."""
    if not file.exists():
        return
    for name, value in json.loads(file.read_text()).items():
        if (root / name).read_text().strip() != value:
            (root / name).write_text(value)
    file.unlink()
