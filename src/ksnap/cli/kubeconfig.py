"""A kubeconfig made fit to travel: only the context in question, and data instead of references to local files.

Pure but for the `read` that is passed in. The server refuses what would make it run commands or read its own files
(`exec`, `auth-provider`, paths); here they are resolved, or refused with a way out. Format: client-go's
`clientcmd/api/v1`.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ksnap.errors import InvalidInput

Read = Callable[[Path], bytes]

_OTHER_WAY = (
    "Make a service account for ksnap and use its token: "
    "kubectl -n ksnap create token ksnap-server --duration 8760h | "
    "ksnap cluster add NAME --api-server URL --api-ca FILE --token-file -"
)


@dataclass(frozen=True, slots=True)
class PortableKubeconfig:
    """One context with all that it needs in itself."""

    api_server_url: str
    content: bytes
    """JSON, which every reader of YAML reads."""
    verify_tls: bool


def portable(text: bytes, *, folder: Path, context: str | None, read: Read) -> PortableKubeconfig:
    """The kubeconfig reduced to `context` (else its current one); `folder` is what its relative paths start from."""
    config = _parsed(text)
    name = context or str(config.get("current-context") or "")
    if not name:
        raise InvalidInput(
            "The kubeconfig has no current context", hint="Choose one with --context: " + _names(config, "contexts")
        )
    chosen = _entry(config, "contexts", name, "context")
    cluster = _entry(config, "clusters", str(chosen.get("cluster", "")), "cluster")
    user = _entry(config, "users", str(chosen.get("user", "")), "user")
    server = str(cluster.get("server") or "")
    if not server.startswith("https://"):
        raise InvalidInput("The cluster's server is no https URL", details=server[:200] or "it has none")
    inlined_cluster = _inline(cluster, folder, read, {"certificate-authority": "certificate-authority-data"})
    inlined_user = _inline_user(user, folder, read)
    result = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {**chosen, "cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": inlined_cluster}],
        "users": [{"name": "user", "user": inlined_user}],
    }
    return PortableKubeconfig(
        api_server_url=server,
        content=json.dumps(result).encode(),
        verify_tls=not cluster.get("insecure-skip-tls-verify", False),
    )


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)  # never the text around it: it may be a key
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "not YAML"
        raise InvalidInput("The kubeconfig cannot be read", details=where) from None
    if not isinstance(config, dict) or not isinstance(config.get("contexts"), list):
        raise InvalidInput("Not a kubeconfig", details="it has no list of contexts")
    return config


def _entry(config: Mapping[str, Any], kind: str, name: str, field: str) -> dict[str, Any]:
    for each in config.get(kind) or []:
        if isinstance(each, dict) and each.get("name") == name and isinstance(each.get(field), dict):
            return dict(each[field])
    raise InvalidInput(f"The kubeconfig has no {field} {name!r}", details=f"{kind}: {_names(config, kind) or 'none'}")


def _names(config: Mapping[str, Any], kind: str) -> str:
    return ", ".join(str(each.get("name")) for each in config.get(kind) or [] if isinstance(each, dict))


def _inline_user(user: dict[str, Any], folder: Path, read: Read) -> dict[str, Any]:
    for plugin in ("exec", "auth-provider"):
        if user.get(plugin):
            raise InvalidInput(
                f"The kubeconfig's user logs in by {plugin}",
                details="that runs a program on this machine, which the server has not and must not run",
                hint=_OTHER_WAY,
            )
    if any(name.startswith("as") for name in user):
        raise InvalidInput(
            "The kubeconfig's user acts as somebody else",
            details="the server does not impersonate, and would act with the user's own, larger rights",
            hint=_OTHER_WAY,
        )
    inlined = _inline(
        user, folder, read, {"client-certificate": "client-certificate-data", "client-key": "client-key-data"}
    )
    path = inlined.pop("tokenFile", None)
    if path:  # it wins over `token`, as in client-go
        inlined["token"] = _read(folder / str(path), read).decode(errors="replace").strip()
    if not any(inlined.get(each) for each in ("token", "client-certificate-data", "username")):
        raise InvalidInput("The kubeconfig's user has no credentials", hint=_OTHER_WAY)
    return inlined


def _inline(entry: dict[str, Any], folder: Path, read: Read, fields: Mapping[str, str]) -> dict[str, Any]:
    """File references become data; where both are there the data wins, as in client-go."""
    result = dict(entry)
    for reference, data in fields.items():
        path = result.pop(reference, None)
        if path and not result.get(data):
            result[data] = base64.b64encode(_read(folder / str(path), read)).decode()
    return result


def _read(path: Path, read: Read) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise InvalidInput(
            "The kubeconfig names a file that cannot be read", details=f"{path}: {error.strerror}"
        ) from error
