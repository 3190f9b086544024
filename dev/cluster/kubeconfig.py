"""Kubeconfig files, written as JSON (which YAML readers read)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path


def write(file: Path, *, server: str, pki: Path, client: str) -> None:
    """One cluster, one user, everything inlined; readable by its owner only, since it holds a key."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "ksnap", "cluster": {"server": server, "certificate-authority-data": _inline(pki / "ca.crt")}}
        ],
        "users": [
            {
                "name": client,
                "user": {
                    "client-certificate-data": _inline(pki / f"{client}.crt"),
                    "client-key-data": _inline(pki / f"{client}.key"),
                },
            }
        ],
        "contexts": [{"name": "ksnap", "context": {"cluster": "ksnap", "user": client}}],
        "current-context": "ksnap",
    }
    write_private(file, json.dumps(content, indent=1))


def write_private(file: Path, text: str) -> None:
    """Write a file that is whole and 0600 from its first moment."""
    half = file.with_name(file.name + ".tmp")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as output:
        output.write(text)
    half.replace(file)


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
