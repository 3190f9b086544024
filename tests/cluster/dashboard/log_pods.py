"""Pods that write logs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dev.cluster.errors import CommandError
from dev.cluster.info import ClusterInfo
from tests.parties.server import RunningServer

Pod = dict[str, Any]
FOREVER = "sleep 100000"
LIMIT_S = 60.0


def container(cluster: ClusterInfo, script: str, *, name: str = "app", **more: object) -> dict[str, Any]:
    """One that runs a shell script."""
    return {"name": name, "image": cluster.images["counter"], "command": ["/bin/busybox", "sh", "-c", script], **more}


def pod(name: str, namespace: str, *containers: dict[str, Any], init: dict[str, Any] | None = None, **spec: Any) -> Pod:
    spec = {"containers": list(containers), "terminationGracePeriodSeconds": 0, **spec}
    if init is not None:
        spec["initContainers"] = [init]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def workload(
    kind: str, name: str, namespace: str, template: Pod, *, api: str = "apps/v1", **spec: Any
) -> dict[str, Any]:
    """Something that makes pods like this one."""
    labels = {"app": name}
    body = {"metadata": {"labels": labels}, "spec": template["spec"]}
    selector: dict[str, Any] = {"selector": {"matchLabels": labels}}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**selector, "template": body, **spec},
    }


def until(condition: Callable[[], object]) -> None:
    """Wait for something that kubectl tells; a refusal is a no."""
    deadline = time.monotonic() + LIMIT_S
    while not _holds(condition):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except CommandError:
        return False


def peak_mib(server: RunningServer) -> float:
    """The most memory that a server had so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
