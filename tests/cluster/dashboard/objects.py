"""Small objects that tests of writes make, and what they wait for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

Json = dict[str, Any]
LIMIT_S = 40.0
LOOK_S = 0.3


def workload(kind: str, name: str, image: str, *, replicas: int = 0, api_version: str = "apps/v1") -> Json:
    """A deployment, stateful set, daemon set or the like; without pods unless asked for."""
    labels = {"app": name}
    selector = labels if kind == "ReplicationController" else {"matchLabels": labels}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "app", "image": image}]}
    spec: Json = {"selector": selector, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "DaemonSet":
        pod["nodeSelector"] = {"none.example/of": "these"}
    else:
        spec["replicas"] = replicas
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def until(what: str, look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something."""
    give_up_at = time.monotonic() + LIMIT_S
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < give_up_at, f"not in {LIMIT_S:g} s: {what}"
        await asyncio.sleep(LOOK_S)
