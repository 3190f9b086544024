"""What runs now, seen from outside: processes by record, services by supervisor, nodes by the API server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dev.cluster import control, info, nodes
from dev.cluster.api import Api
from dev.cluster.errors import NotUpError
from dev.cluster.info import ClusterInfo
from dev.cluster.layout import Layout


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """The control plane, or a node."""

    name: str
    running: bool
    ready: bool
    services: list[dict[str, Any]]
    """As the supervisor reports them: name, pid (as the unit counts), restarts, last_exit."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at once."""

    info: ClusterInfo | None
    units: list[UnitStatus]

    @property
    def healthy(self) -> bool:
        """Whether there is a cluster, and all of it is ready."""
        return self.info is not None and all(unit.ready for unit in self.units)


def read(layout: Layout) -> Status:
    """Look at everything once; never waits for anything."""
    if not layout.info.exists():
        return Status(None, [])
    described = info.parse(layout.info.read_text())
    api = Api(layout.api_url.removeprefix("https://"), layout.pki)
    units = [_unit(layout, control.UNIT, ready=api.ready())]
    ready = api.nodes()
    units += [_unit(layout, node.name, ready=ready.get(node.name, False)) for node in described.nodes]
    return Status(described, units)


def _unit(layout: Layout, name: str, *, ready: bool) -> UnitStatus:
    try:
        leader = nodes.leader(layout, name)
    except NotUpError:
        return UnitStatus(name, running=False, ready=False, services=[])
    inside = Path(f"/proc/{leader.pid}/root") / nodes.STATE
    report = control.state_file(layout) if name == control.UNIT else inside
    services = json.loads(report.read_text()) if report.exists() else []
    return UnitStatus(name, running=True, ready=ready, services=services)


def as_json(status: Status) -> str:
    """For programs: the description of the cluster, and `health` beside it."""
    described = json.loads(info.dump(status.info)) if status.info else {}
    health = {"healthy": status.healthy, "units": [asdict(unit) for unit in status.units]}
    return json.dumps({**described, "health": health}, indent=1)


def as_text(status: Status) -> str:
    """For people: a line per unit and per service."""
    if status.info is None:
        return "down"
    lines = [f"kubeconfig {status.info.kubeconfig}", f"API server {status.info.api_server}"]
    for unit in status.units:
        state = "ready" if unit.ready else "running, not ready" if unit.running else "not running"
        lines.append(f"{unit.name}: {state}")
        lines += [_service_line(service) for service in unit.services]
    return "\n".join(lines)


def _service_line(service: dict[str, Any]) -> str:
    state = (
        f"pid {service['pid']}" if service["pid"] else f"waits to start again, last ended with {service['last_exit']}"
    )
    return f"  {service['name']}: {state}, {service['restarts']} restarts"
