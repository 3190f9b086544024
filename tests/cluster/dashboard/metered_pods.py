"""Pods whose use of memory is known, servers that measure them, and what lists show of it."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from tests.cluster.dashboard.client import configure
from tests.parties.server import RunningServer, running_server

MIB = 1 << 20
PODS = {"small": 16, "large": 80}
"""MiB that they hold; a Python around it takes some more."""
AROUND_MIB = 60
# A kubelet measures a new container within fifteen seconds, metrics-server needs two looks at it after that.
MEASURED_S = 90.0


def measuring_server(
    cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory, **settings: str
) -> Iterator[RunningServer]:
    """A server with these settings that knows the cluster, and looks every second whether its source works."""
    given = {"KSNAP_METRIC_CLIENT_CHECK_PERIOD_S": "1", **settings}
    with running_server(tmp_path_factory.mktemp("metrics") / "data", given) as server:
        kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
        configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
        yield server


def start_pods(cluster: ClusterInfo, kubectl: Kubectl, namespace: str) -> None:
    image = cluster.images["webapp"]
    kubectl.apply(*(webapp_pod(name, namespace, image, memory_mb=mib, start_s=0) for name, mib in PODS.items()))
    kubectl.wait_ready(namespace, *PODS)


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], limit_s: float = MEASURED_S) -> Any:
    """What was answered when it held at last."""
    deadline = time.monotonic() + limit_s
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.5)
    return answer


def memory_of(answer: Any) -> dict[str, int]:
    """Of the pods that a list shows figures of."""
    return {
        row["objectMeta"]["name"]: row["metrics"]["memoryUsage"] for row in answer["pods"] if row["metrics"] is not None
    }


def is_measured(answer: Any) -> bool:
    """A kubelet that was too busy to answer is an error until the next minute."""
    return memory_of(answer).keys() == PODS.keys() and answer["errors"] == []


def check_memory(answer: Any) -> None:
    for name, used in memory_of(answer).items():
        assert PODS[name] * MIB < used < (PODS[name] + AROUND_MIB) * MIB
