"""Ending what runs and clearing what is left: of this run, or of one that was killed at any point.

Found by three traces, each enough by itself: the recorded process, the cgroup, the names of links and network
namespaces. Nothing is ever looked up by a program's name.
"""

from __future__ import annotations

import signal

from dev.cluster import cgroups, network, nodes, processes
from dev.cluster.control import UNIT, record
from dev.cluster.errors import NotUpError
from dev.cluster.layout import Layout, NodeLayout
from dev.cluster.mounts import unmount_below
from dev.cluster.processes import ProcessId

GRACE_S = 30.0
"""For three services that get 8 s each."""


def is_running(layout: Layout, unit: str) -> bool:
    """Whether a unit's supervisor is there."""
    try:
        nodes.leader(layout, unit)
    except NotUpError:
        return False
    return True


def end_units(layout: Layout, units: dict[str, str], *, grace_s: float = GRACE_S) -> None:
    """End units, given by name with their cgroups: all supervisors at once, then whoever is left in the cgroups."""
    end_processes = [process for unit in units for process in _recorded(layout, unit)]
    processes.end(end_processes, grace_s=grace_s)
    for unit, cgroup in units.items():
        _clear_cgroup(cgroup)
        record(layout, unit).unlink(missing_ok=True)


def _clear_cgroup(cgroup: str) -> None:
    """End whoever is left in a cgroup, those too that were born while we looked, and remove it."""
    cgroups.thaw(cgroup)
    while left := cgroups.members(cgroup):
        processes.end(left, grace_s=0)
    cgroups.remove(cgroup)


def _recorded(layout: Layout, unit: str) -> list[ProcessId]:
    """A unit's supervisor, to be asked to end; its outer process ends by itself after it."""
    outer = processes.load(record(layout, unit))
    if outer is None or not outer.alive():
        return []
    try:
        return [nodes.leader(layout, unit)]
    except NotUpError:
        return [outer]


def clear_control(layout: Layout) -> None:
    """End the control plane, whatever is left of it."""
    end_units(layout, {UNIT: layout.control_cgroup})


def clear_nodes(layout: Layout, wanted: list[NodeLayout], *, grace_s: float = GRACE_S) -> None:
    """End nodes, whatever is left of them, their networks included."""
    end_units(layout, {node.name: node.cgroup for node in wanted}, grace_s=grace_s)
    for node in wanted:
        network.remove_node(node)
        unmount_below(node.folder)


def cut_power(layout: Layout, node: NodeLayout) -> None:
    """End a node as a power cut would: nothing inside gets to say goodbye."""
    outer = processes.load(record(layout, node.name))
    if outer is not None:
        outer.send(signal.SIGKILL)


def clear_all(layout: Layout) -> None:
    """End everything of this instance and remove all that it made outside of its state folder."""
    clear_nodes(layout, layout.all_nodes())
    clear_control(layout)
    network.remove_bridge(layout)
    _clear_cgroup(layout.cgroup)
