"""An agent's half of the runtime engine in the test's own process: images, permits, the socket and the HTTP interface.

The fixtures `node` and `image` stand in conftest.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksnap.agent.api_server import ApiServer, ServiceAccount
from ksnap.agent.authority import Authority
from ksnap.agent.captures import Captures
from ksnap.agent.images import Images
from ksnap.agent.kubelet import Kubelet
from ksnap.agent.pod_events import PodEvents
from ksnap.agent.pod_watch import PodWatch
from ksnap.agent.probe import Probe
from ksnap.agent.pull_accounts import PullAccounts
from ksnap.agent.report import Reporter
from ksnap.agent.restore_socket import RestoreSocket
from ksnap.agent.restores import Restores
from ksnap.agent.service import Service
from ksnap.agent.settings import AgentSettings
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.client import AgentClient
from ksnap.node.protocol import ImageRequest, ImageState, PermittedPod
from tests.parties.agent_http import agent_http
from tests.parties.checkpoint_images import digest_of
from tests.registry.image_cache import eventually

POD = PermittedPod(namespace="shop", pod="web-1")


@dataclass(frozen=True, slots=True)
class Node:
    """An agent's half of the runtime engine, running."""

    settings: AgentSettings
    restores: Restores
    images: Images
    client: AgentClient
    service: Service

    @property
    def socket(self) -> Path:
        return self.settings.socket_path

    async def prefetched(
        self, image: ImageRef, access: RegistryAccess, pods: tuple[PermittedPod, ...] = (POD,)
    ) -> ImageState:
        await self.client.prefetch_image(digest_of(image), request_for(image, access, pods))
        return await self.client.image_ready(digest_of(image))


def request_for(image: ImageRef, access: RegistryAccess, pods: tuple[PermittedPod, ...] = (POD,)) -> ImageRequest:
    return ImageRequest(repository=f"{image.host}/{image.repository}", registry=access, pods=pods)


@asynccontextmanager
async def running(folder: Path, **fields: object) -> AsyncIterator[Node]:
    """The parts as the agent's entrance puts them together; the API server is called if pods are to be watched."""
    settings = AgentSettings.model_validate(
        {
            "node_name": "n",
            "state_dir": folder / "state",
            "socket_path": folder / "run" / "restore.sock",
            "min_free_bytes": 0,
            "service_account_dir": folder / "account",
            "api_server_host": "127.0.0.1",
            "api_server_port": 1,
            "kubelet_insecure": True,
            **fields,
        }
    )
    account = ServiceAccount(settings.service_account_dir)
    api_server = ApiServer(settings, account)
    kubelet = Kubelet(settings, account)
    async with AsyncExitStack() as stack:
        images = await stack.enter_async_context(Images(settings))
        accounts = PullAccounts(settings, api_server) if settings.prefetch else None
        restores = Restores(settings, images, PodEvents(api_server, "n"), accounts)
        await restores.open()
        if accounts is not None:
            await stack.enter_async_context(api_server)
            await stack.enter_async_context(_task(PodWatch(api_server, "n", restores.sightings).run()))
        captures = Captures(settings, kubelet)
        service = Service(
            settings,
            Authority(api_server, "n", remember_s=1, now=time.monotonic),
            captures,
            Reporter(settings, api_server, Probe(settings, kubelet)),
            restores,
        )
        async with (
            RestoreSocket(settings.socket_path, restores, captures.freezes),
            agent_http(service.routes()) as client,
        ):
            yield Node(settings, restores, images, client, service)


@asynccontextmanager
async def _task(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on until the block ends."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settled(node: Node) -> None:
    """An outcome is thanked for before it is taken in."""
    await eventually(lambda: not node.images.store.is_held(node.images.store.all()[0].digest))
