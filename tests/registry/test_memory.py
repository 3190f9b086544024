"""Constant memory: 256 MiB pushed, read back and unpacked, in a process that does nothing else, stay under 150 MiB.

`make bench` carries 4 GiB, for which a busy machine needs minutes.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.parties.archives import END, Member, archive_chunks, criu_images, documents
from tests.parties.checkpoint_images import push_layer
from tests.parties.registry import RunningRegistry, needs_registry

ARCHIVE_BYTES = 256 << 20
LIMIT_MIB = 150


@needs_registry
@pytest.mark.timeout(600)
async def test_an_archive_larger_than_the_limit_passes_through(registry: RunningRegistry, repository: str) -> None:
    request = {
        "stream_bytes": ARCHIVE_BYTES,
        "registry": json.loads(registry.access.model_dump_json()),
        "repository": repository,
        "read_back": True,
    }
    measured = await measure("bench.push_once", request)
    assert measured["read_bytes"] == measured["size_bytes"] > ARCHIVE_BYTES
    assert measured["peak_mib"] < LIMIT_MIB


@needs_registry
@pytest.mark.timeout(600)
@pytest.mark.parametrize("zeros", [False, True], ids=["pages", "zeros"])
async def test_an_image_larger_than_the_limit_is_unpacked(
    registry: RunningRegistry, repository: str, tmp_path: Path, *, zeros: bool
) -> None:
    """Zeros as well: a few compressed bytes that stand for all of it, at once."""
    layer, digest = await asyncio.to_thread(packed_zeros if zeros else packed_pages)
    image = await push_layer(registry.access, repository, layer, digest=digest)
    request = {
        "image": str(image),
        "registry": json.loads(registry.access.model_dump_json()),
        "state_dir": str(tmp_path / "state"),
    }
    measured = await measure("bench.pull_once", request)
    assert measured["size_bytes"] >= ARCHIVE_BYTES
    assert measured["peak_mib"] < LIMIT_MIB
    pages = (Path(measured["path"]) / "checkpoint" / "pages-1.img").stat()
    assert pages.st_size == ARCHIVE_BYTES
    assert (pages.st_blocks * 512 < 1 << 20) == zeros, "zeros take no disk"


async def measure(program: str, request: dict[str, Any]) -> dict[str, Any]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", program],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def packed_pages() -> tuple[bytes, str]:
    """The layer and its archive's digest."""
    return packed(list(archive_chunks(ARCHIVE_BYTES)))


def packed_zeros() -> tuple[bytes, str]:
    before = b"".join(each.encode() for each in [*criu_images(), *documents()])
    pages = Member("checkpoint/pages-1.img", size=ARCHIVE_BYTES).encode()
    return packed([before, pages, *[bytes(1 << 20)] * (ARCHIVE_BYTES >> 20), END])


def packed(chunks: list[bytes]) -> tuple[bytes, str]:
    compressor, hasher, layer = zstandard.ZstdCompressor(level=3).compressobj(), hashlib.sha256(), []
    for chunk in chunks:
        hasher.update(chunk)
        layer.append(compressor.compress(chunk))
    return b"".join(layer) + compressor.flush(), f"sha256:{hasher.hexdigest()}"
