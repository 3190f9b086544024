"""The runtime's side of the restore socket: lines as ksnap-runc writes them, over a real unix connection."""

import asyncio
import json
from pathlib import Path
from typing import Any

CONTAINER_ID = "c0" * 32


def prepare_line(image: object, **fields: object) -> dict[str, Any]:
    return {
        "version": 1,
        "op": "prepare",
        "container_id": CONTAINER_ID,
        "sandbox_id": "5a" * 32,
        "namespace": "shop",
        "pod": "web-1",
        "pod_uid": "6e7c1f0a-0000-4000-8000-000000000001",
        "container": "app",
        "image": str(image),
        "deadline_ms": 5000,
        **fields,
    }


def outcome_line(image: object, *, restored: bool, **fields: object) -> dict[str, Any]:
    line = prepare_line(image, op="outcome", restored=restored, reason="", message="")
    figures = {"prepare_ms": 5, "apply_ms": 12, "criu_ms": 300, "total_ms": 340}
    return {**line, **figures, **fields}


def ended_line(image: object, *, lived_ms: float, **fields: object) -> dict[str, Any]:
    return {**prepare_line(image, op="ended"), "lived_ms": lived_ms, "signalled": False, **fields}


async def ask(path: Path, line: object) -> dict[str, Any]:
    """One connection, one line, one answer."""
    return await ask_raw(path, json.dumps(line).encode() + b"\n")


async def ask_raw(path: Path, data: bytes) -> dict[str, Any]:
    answer = await exchange(path, data)
    found: dict[str, Any] = json.loads(answer)
    return found


async def exchange(path: Path, data: bytes) -> bytes:
    """All that comes back until the agent closes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(data)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
