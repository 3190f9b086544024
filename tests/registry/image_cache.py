"""A node's cache of images in a folder of the test's own, and how it looks from outside.

The fixtures `state_dir` and `images` stand in conftest.py.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ksnap.agent.images import Images
from ksnap.agent.settings import AgentSettings
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageStatus
from tests.parties.fault_proxy import FaultProxy

MIB = 1 << 20
BLOBS = "/blobs/"


def settings_for(state_dir: Path, **fields: object) -> AgentSettings:
    return AgentSettings.model_validate(
        {"node_name": "n", "state_dir": state_dir, "min_free_bytes": 0, "image_cache_bytes": 1 << 30, **fields}
    )


def left(state_dir: Path) -> list[str]:
    return sorted(os.listdir(state_dir / "images"))


def blob_requests(proxy: FaultProxy) -> int:
    """How often a blob was asked for: each pull reads two: the configuration and the layer."""
    return sum(seen.method == "GET" and BLOBS in seen.path for seen in proxy.requests)


def through(image: ImageRef, access: RegistryAccess) -> ImageRef:
    return ImageRef(access.host, image.repository, digest=image.digest)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - looked at from outside, where nothing tells
            await asyncio.sleep(0.001)


async def until(images: Images, digest: Digest, status: ImageStatus) -> None:
    await eventually(lambda: images.state(digest).status is status)
