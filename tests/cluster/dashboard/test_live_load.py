"""Followers who do not read, and many at once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, open_dashboard, rule
from tests.cluster.dashboard.live_reader import reading
from tests.cluster.dashboard.metered_pods import measuring_server
from tests.parties.server import RunningServer

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]
PATIENCE_S = 1
LARGE = 40
ANNOTATION_BYTES = 200_000
# The client's connections are a hundred.
MANY = 80
CHANGES = 20


@pytest.fixture(scope="module")
def impatient(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from measuring_server(
        cluster,
        tmp_path_factory,
        KSNAP_METRICS_PROVIDER="none",
        KSNAP_PROGRESS_PATIENCE_S=str(PATIENCE_S),
        KSNAP_LIVE_CONNECTIONS_USER=str(MANY + 2),
    )


@pytest.fixture
async def reader(impatient: RunningServer, kubectl: Kubectl, namespace: str) -> AsyncIterator[Dashboard]:
    with account(kubectl, namespace, rules=[rule("configmaps", "list")]) as token:
        async with open_dashboard(impatient.url, token) as client:
            yield client


def _maps(kubectl: Kubectl, namespace: str, count: int, note: str) -> None:
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"m-{number:02}", "namespace": namespace, "annotations": {"note": note}},
        }
        for number in range(count)
    ]
    kubectl(
        "apply", "--server-side", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )


async def test_who_does_not_read_is_dropped(
    impatient: RunningServer, reader: Dashboard, kubectl: Kubectl, namespace: str
) -> None:
    """Once the buffers between are full; a list of eight megabytes fills them."""
    _maps(kubectl, namespace, LARGE, "x" * ANNOTATION_BYTES)
    place = urlsplit(impatient.url)
    asleep, asking = await asyncio.open_connection(place.hostname, place.port, limit=1024)
    request = f"GET /api/v1/live/configmap/{namespace} HTTP/1.1\r\nHost: {place.netloc}\r\n"
    asking.write(f"{request}Authorization: Bearer {reader.token}\r\nAccept: text/event-stream\r\n\r\n".encode())
    deadline = time.monotonic() + 60
    while not any("slow_reader_dropped" in line for line in impatient.log):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    async with reading(reader, f"configmap/{namespace}", "items") as follower:
        assert len((await follower.begun()).rows) >= LARGE
    asking.close()
    del asleep


async def test_many_follow_one_list(
    impatient: RunningServer, reader: Dashboard, kubectl: Kubectl, namespace: str
) -> None:
    """All end up with the same, and the server answers others meanwhile."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            opened = [
                group.create_task(stack.enter_async_context(reading(reader, f"configmap/{namespace}", "items")))
                for _ in range(MANY)
            ]
        followers = [each.result() for each in opened]
        for number in range(CHANGES):
            await asyncio.to_thread(_maps, kubectl, namespace, 1, str(number))
            assert (await reader.get(f"/configmap/{namespace}")).status == 200
        for each in followers:
            await each.until(
                lambda page: any(
                    row["objectMeta"].get("annotations") == {"note": str(CHANGES - 1)} for row in page.rows
                )
            )
    assert all(len(each.page.frames) <= CHANGES + 2 for each in followers)
