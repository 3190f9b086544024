"""One pull of one image into a node's cache, in a process of its own: seconds and peak memory on stdout.

    python -m bench.pull_once < request.json

The request holds `image` (host/repository@digest), `registry` (a RegistryAccess) and `state_dir`. The interpreter's
start is not counted: the agent runs already when it is asked.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from bench.push_once import peak_mib
from ksnap.agent.image_store import CachedImage
from ksnap.agent.images import Images
from ksnap.agent.settings import AgentSettings
from ksnap.model.image import parse_image
from ksnap.model.registry_access import RegistryAccess


def main() -> None:
    request = json.load(sys.stdin)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    begun = time.perf_counter()
    image = asyncio.run(_pull(request))
    seconds = time.perf_counter() - begun
    usage = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(
        {
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mib": peak_mib(),
            "size_bytes": image.size_bytes,
            "path": str(image.path),
        },
        sys.stdout,
    )


async def _pull(request: dict[str, Any]) -> CachedImage:
    settings = AgentSettings(node_name="bench", state_dir=Path(request["state_dir"]), min_free_bytes=0)
    async with Images(settings) as images:
        return await images.ensure(parse_image(request["image"]), RegistryAccess.model_validate(request["registry"]))


if __name__ == "__main__":
    main()
