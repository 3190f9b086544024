"""The drop-ins that the chart's notes print for who sets nodes up by hand, rendered by what renders the chart's own.

`make docs` writes them; a test compares. What the node has of its own is not known here:
the notes say which line to copy from the node's runc handler.
"""

from pathlib import Path

from ksnap.agent.node_setup import containerd_config, crio_config
from ksnap.agent.node_setup.node import BINARY

FOLDER = Path(__file__).parent / "ksnap" / "files"
# As on most nodes; the notes and the guide say to compare it.
_SYSTEMD = {"SystemdCgroup": True}


def recipes() -> dict[str, str]:
    """Name of a file of the chart -> its text."""
    runc = {"plugins": {"io.containerd.cri.v1.runtime": {"containerd": {"runtimes": {"runc": {"options": _SYSTEMD}}}}}}
    containerd = containerd_config.drop_in([runc], binary=BINARY, made_folder=False)
    texts = {"containerd.toml": containerd, "crio.conf": crio_config.drop_in([], binary=BINARY)}
    # The first line says who wrote it and who takes it away: neither is true of one that a person writes.
    return {name: text.partition("\n")[2] for name, text in texts.items()}


def write() -> None:
    """Make the chart's files again."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in recipes().items():
        (FOLDER / name).write_text(text)
