"""The two registries (Debian's docker-registry): an open one for images of ours, and one that wants a password."""

from __future__ import annotations

import ctypes
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.errors import ClusterError
from dev.cluster.kubeconfig import write_private
from dev.cluster.layout import Layout

USERNAME = "ksnap"
BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class RegistryPlan:
    """One registry to run."""

    name: str
    host: str
    settings: Path


def prepare(layout: Layout) -> list[RegistryPlan]:
    """Write the settings of both, and the password that the second one wants."""
    password = _password(layout.registry_password)
    htpasswd = layout.run / "htpasswd"
    write_private(htpasswd, f"{USERNAME}:{bcrypt(password)}\n")
    auth = {"htpasswd": {"realm": "ksnap", "path": str(htpasswd)}}
    return [
        _plan(layout, "registry", layout.registry, {}),
        _plan(layout, "registry-private", layout.private_registry, {"auth": auth}),
    ]


def _plan(layout: Layout, name: str, host: str, more: dict[str, object]) -> RegistryPlan:
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(layout.state / name)}, "delete": {"enabled": True}},
        "http": {
            "addr": host,
            "secret": secrets.token_hex(16),
            "tls": {"certificate": str(layout.pki / "registry.crt"), "key": str(layout.pki / "registry.key")},
        },
        **more,
    }
    file = layout.run / f"{name}.json"
    write_private(file, json.dumps(settings, indent=1))
    return RegistryPlan(name, host, file)


def _password(file: Path) -> str:
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def bcrypt(password: str) -> str:
    """Hash for htpasswd, by the C library's own crypt: the registry reads no other kind."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    salt = "$2b$08$" + "".join(secrets.choice(BCRYPT_ALPHABET) for _ in range(21)) + "."
    hashed = crypt(password.encode(), salt.encode())
    if hashed is None or not hashed.startswith(b"$2b$"):
        raise ClusterError("libcrypt makes no bcrypt hashes here; libxcrypt (Debian's libcrypt1) does")
    return str(hashed.decode())
