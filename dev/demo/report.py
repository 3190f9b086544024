"""What the demo shows at its end: cold beside restored, both tokens, and where to go next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from dev.cluster.info import ClusterInfo
from dev.stack.server import Server


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen."""

    cold_s: float
    """Pod created to Ready, the first time."""
    freeze_s: float
    """Command to image in the registry."""
    restored_s: float
    """Pod created to Ready, from the image."""
    restored: bool
    """Whether the server says, by the runtime's own record, that the new container was restored."""
    checkpoint: dict[str, Any]
    source: dict[str, Any]
    """What the frozen process said last before the freeze."""
    copy: dict[str, Any]
    """What the restored one says first."""
    nodes: tuple[str, str]

    @property
    def same_process(self) -> bool:
        """The token was made in memory at the first start, and the count goes on: no cold start can fake both."""
        counted_on = bool(self.copy["requests"] == self.source["requests"] + 1)
        return self.restored and counted_on and bool(self.copy["token"] == self.source["token"])

    def table(self) -> str:
        """The outcome as text for a terminal."""
        table = Table(title="The same process, on two nodes")
        for column in ("", "first start", "restored"):
            table.add_column(column)
        table.add_row("node", *self.nodes)
        table.add_row("created to Ready", _seconds(self.cold_s), _seconds(self.restored_s))
        table.add_row("token in memory", self.source["token"], self.copy["token"])
        table.add_row("requests answered", str(self.source["requests"]), str(self.copy["requests"]))
        table.add_row("proven by the runtime", "", "yes" if self.restored else "NO")
        console = Console(width=100)
        with console.capture() as shown:
            console.print(table)
            console.print(
                f"Freeze, image and push took {self.freeze_s:.1f} s; the image: {self.checkpoint['image']}",
                soft_wrap=True,
            )
            verdict = "The token matches: this is the frozen process." if self.same_process else "NOT the same process."
            console.print(verdict)
        return shown.get()


def where_next(server: Server, cluster: ClusterInfo, namespace: str) -> str:
    """What still runs, how to look at it, how to end it."""
    kubectl = f"KUBECONFIG={cluster.kubeconfig} {cluster.tools['kubectl']}"
    return f"""
Still running, for you to look around:
  API and its documentation  {server.url}/docs
  user admin, password in    {server.password_file}
  the pods                   {kubectl} -n {namespace} get pods
  the command line           XDG_CONFIG_HOME={server.folder / "config"} uv run ksnap checkpoint list
  end all of it              make cluster-down
"""


def _seconds(time_s: float) -> str:
    """A pod's times are those of its status, which counts whole seconds."""
    return f"{time_s:.1f} s" if time_s >= 1 else "under 1 s"
