"""Which nodes can restore from a checkpoint image by which engine, and what the others lack. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ksnap.errors import Conflict
from ksnap.model.container_runtime import VERSION_NOT_TOLD, parse_runtime
from ksnap.node.protocol import NodeReport

# Without an agent nobody could read the runtime's record, and so nobody could say whether it was a restore.
NO_AGENT = "no agent answers from it"


def answering(reports: Sequence[NodeReport], answered: Collection[str]) -> list[NodeReport]:
    """The reports, where those of nodes whose agents do not answer now count for no restore."""
    lacks = {"restore_supported": "none", "restore_reason": NO_AGENT, "image_restore": False}
    return [each if each.node_name in answered else each.model_copy(update=lacks) for each in reports]


Engine = Literal["runtime", "image"]
WantedEngine = Literal["auto", "runtime", "image"]


@dataclass(frozen=True, slots=True)
class Choice:
    """How a pod is restored, and where it may go."""

    engine: Engine
    nodes: list[str]
    """Of the runtime engine the one node that fetches the image beforehand."""


def choose(
    reports: Sequence[NodeReport], wanted: str | None, engine: WantedEngine, *, bound_to: str | None = None
) -> Choice:
    """The engine and the nodes; Conflict names what is missing where none can. The runtime engine is preferred.

    `bound_to` is the host name that the source's author bound it to (`host_of`): it holds unless a node is wanted.
    """
    only = wanted or (bound_to if any(each.node_name == bound_to for each in reports) else None)
    asked = [each for each in reports if only in {None, each.node_name}]
    if engine != "image":
        able = [each for each in asked if each.restore_supported == "runtime"]
        if able:
            return Choice("runtime", [max(able, key=lambda each: each.free_disk_bytes).node_name])
    if engine != "runtime":
        # An agent of a former version knows the one engine only.
        images = [each.node_name for each in asked if each.image_restore or each.restore_supported == "image"]
        if images:
            return Choice("image", images)
    lacks = "; ".join(f"{each.node_name}: {_lack(each)}" for each in asked)
    if only != wanted:
        lacks += f"; the pod's nodeSelector binds it to {only}, name another node (node_name) to set that aside"
    raise Conflict(
        "No node can restore a checkpoint image" if only is None else "The node cannot restore checkpoint images",
        details=lacks or "no agent reports from this cluster",
        hint=_HINTS[engine],
    )


def _lack(report: NodeReport) -> str:
    """Why a node is no choice. What it says of the runtime engine is no reason against the image engine."""
    if report.restore_supported != "runtime" and report.restore_reason:
        return report.restore_reason
    if parse_runtime(report.container_runtime) is None:
        return VERSION_NOT_TOLD
    return f"{report.container_runtime} restores no image"


_RUNTIME_HINT = "With the chart's nodeSetup.enabled nodes of containerd 2 can"
_IMAGE_HINT = "Nodes with containerd 2.1 can; 2.2 and 2.3 need their switch, CRI-O its own"
_HINTS: dict[WantedEngine, str] = {
    "auto": f"{_RUNTIME_HINT}. {_IMAGE_HINT}",
    "runtime": _RUNTIME_HINT,
    "image": _IMAGE_HINT,
}
