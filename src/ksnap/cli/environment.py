"""What the command line reads from the environment: the only file of the CLI that looks there.

A variable that is set to nothing counts as not set, as scripts clear variables so.
"""

import os
from pathlib import Path

SERVER = "KSNAP_SERVER"
TOKEN = "KSNAP_TOKEN"  # noqa: S105 - a variable's name
CLUSTER = "KSNAP_CLUSTER"
CA_FILE = "KSNAP_CA_FILE"

VARIABLES = {
    SERVER: "URL of the server, where --server is not given",
    TOKEN: "token to use instead of the stored login, for scripts",
    CLUSTER: "cluster to use, where --cluster is not given",
    CA_FILE: "PEM file of the CA that signed the server's certificate, where --ca-file is not given",
    "KSNAP_PASSWORD": "password of `ksnap login`, and the current one of `ksnap user passwd`",
    "KSNAP_NEW_PASSWORD": "password that `ksnap user add` and `ksnap user passwd` set",
    "KSNAP_REGISTRY_PASSWORD": "password of the account of `ksnap registry add`",
    "KSNAP_CLUSTER_TOKEN": "token of `ksnap cluster add --api-server`",
    "XDG_CONFIG_HOME": "folder that holds ksnap/session.json; ~/.config by default",
    "NO_COLOR": "set to anything: no colours",
}


def variable(name: str) -> str | None:
    """The value of one of our variables; None if it is not set or empty."""
    return os.environ.get(name) or None


def session_path() -> Path:
    """Where the login is kept (XDG base directory specification; a relative value is ignored, as it demands)."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    if not home.is_absolute():
        home = Path.home() / ".config"
    return home / "ksnap" / "session.json"
