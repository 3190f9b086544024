"""One push of one archive by ksnap's own pipeline, in a process of its own: seconds and peak memory on stdout.

    python -m bench.push_once < request.json

The request holds `archive`, or `stream_bytes` for an archive that is made while it is read; `registry` (a
RegistryAccess), `repository`, and `read_back` to pull the archive again afterwards. The interpreter's start is not
counted: the agent runs already when it is asked.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ksnap.agent.archive_source import ArchiveSource
from ksnap.agent.publish import push_archive
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget
from ksnap.registry.image_read import open_archive
from tests.parties.archives import archive_chunks


def main() -> None:
    request = json.load(sys.stdin)
    begun = time.perf_counter()
    facts, image = asyncio.run(
        push_archive(
            _source(request),
            registry=RegistryAccess.model_validate(request["registry"]),
            target=ImageTarget(request["repository"], "bench", {}, "amd64", datetime.now(UTC)),
        )
    )
    seconds = time.perf_counter() - begun
    read_bytes = asyncio.run(_read_back(request, facts)) if request.get("read_back") else 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(
        {
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mib": peak_mib(),
            "size_bytes": facts.size_bytes,
            "read_bytes": read_bytes,
            "compressed_bytes": facts.compressed_bytes,
            "compressed_digest": facts.compressed_digest,
            "digest": image.digest,
        },
        sys.stdout,
    )


async def _read_back(request: dict[str, Any], facts: ArchiveFacts) -> int:
    """Pull the layer and decompress it, as a download does; how many bytes came."""
    size = 0
    async with (
        open_registry(RegistryAccess.model_validate(request["registry"])) as client,
        open_archive(client, request["repository"], facts.compressed_digest) as plain,
    ):
        async for chunk in plain:
            size += len(chunk)
    return size


def peak_mib() -> float:
    """The kernel's high-water mark of this program. Not ru_maxrss, which begins at what the parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _source(request: dict[str, Any]) -> ArchiveSource:
    if "archive" in request:
        return Path(request["archive"])

    async def made() -> AsyncIterator[bytes]:
        for chunk in archive_chunks(request["stream_bytes"]):
            yield chunk

    return made


if __name__ == "__main__":
    main()
