"""Changes pods at a steady rate until it is told to end (SIGTERM); then prints how many changes it made, as JSON.

python -m bench.churn KUBECONFIG RATE
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from dev.cluster.crowd import LABEL
from ksnap.errors import KsnapError
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.pods import pods_path

# Enough to be on time where one change takes some milliseconds, few enough to change nothing by themselves.
_WORKERS = 8
_STEP_S = 0.05


async def change(connection: ClusterConnection, namespace: str, pod: str, number: int) -> None:
    """A status as a kubelet would write it: the restart count of a pod goes up, its readiness changes."""
    ready = "False" if number % 2 else "True"
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": None}
    body = {"metadata": {"annotations": {"bench.ksnap.dev/change": str(number)}}, "status": {"conditions": [condition]}}
    await connection.patch(
        f"{pods_path(namespace, pod)}/status",
        body,
        what=f"pod {pod}",
        content_type="application/strategic-merge-patch+json",
    )


async def run(kubeconfig: str, rate: float) -> dict[str, float]:
    config = ClusterConfig("bench", "", AuthType.KUBECONFIG, SecretStr(kubeconfig))
    connection = await ClusterConnection.open(config)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        names = await _names(connection)
        print("ready", flush=True)
        return await _change_until(connection, names, rate, ended)
    finally:
        await connection.close()


async def _change_until(
    connection: ClusterConnection, names: list[tuple[str, str]], rate: float, ended: asyncio.Event
) -> dict[str, float]:
    began, made, failed = time.monotonic(), 0, 0
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=_WORKERS * 4)

    async def work() -> None:
        nonlocal made, failed
        while True:
            number = await queue.get()
            try:
                await change(connection, *names[number % len(names)], number // len(names))
                made += 1
            except KsnapError:
                failed += 1

    workers = [asyncio.create_task(work()) for _ in range(_WORKERS)]
    given = 0
    while not ended.is_set():
        due = int((time.monotonic() - began) * rate)
        while given < due and not ended.is_set():
            await queue.put(given)
            given += 1
        await asyncio.sleep(_STEP_S)
    for each in workers:
        each.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return {"changes": made, "failed": failed, "per_second": made / (time.monotonic() - began)}


async def _names(connection: ClusterConnection) -> list[tuple[str, str]]:
    """Of the pods that run; in an order that goes through all nodes."""
    headers = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    params = {"labelSelector": LABEL, "fieldSelector": "status.phase=Running"}
    deadlines = aiohttp.ClientTimeout(total=60)
    async with connection.request("GET", "/api/v1/pods", params=params, headers=headers, deadlines=deadlines) as answer:
        found = json.loads(await answer.read())["items"]
    return sorted((each["metadata"]["namespace"], each["metadata"]["name"]) for each in found)


def main() -> None:
    print(json.dumps(asyncio.run(run(Path(sys.argv[1]).read_text(), float(sys.argv[2])))))


if __name__ == "__main__":
    main()
