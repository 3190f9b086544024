"""Which pod may be restored from which image: what the server said when it had the image prefetched.

An annotation is only a wish: whoever may create a pod could name another tenant's memory in one. A permit ends by
itself after a while; it is journaled, so that the agent's restart between prefetch and start does not make a pod cold.
No credential is a part of it.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from ksnap.agent.state_files import read_object, replace_file
from ksnap.errors import InsufficientStorage
from ksnap.node.protocol import PermittedPod

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Key:
    digest: str
    namespace: str
    pod: str
    container: str
    """Empty: any of the pod's."""


class Permits:
    """All of this node. `now` is the wall clock: permits outlive the process."""

    def __init__(self, state_dir: Path, *, ttl_s: float, now: Callable[[], float] = time.time) -> None:
        self._path = state_dir / "permits.json"
        self._ttl_s = ttl_s
        self._now = now
        self._granted: dict[_Key, float] = {}
        self._saving = asyncio.Lock()

    async def open(self) -> None:
        """Take over what the last agent granted."""
        self._granted = await asyncio.to_thread(_read, self._path)
        self._drop_old()

    async def grant(self, digest: str, pods: Iterable[PermittedPod]) -> None:
        """Permit these pods, from now on for a while; on the disk before this returns."""
        granted = {_Key(digest, each.namespace, each.pod, each.container): self._now() for each in pods}
        if granted:
            self._drop_old()
            self._granted.update(granted)
            await self._save()

    async def revoke(self, digest: str) -> None:
        """Take back every permit for an image."""
        kept = {key: at for key, at in self._granted.items() if key.digest != digest}
        if len(kept) != len(self._granted):
            self._granted = kept
            await self._save()

    def has(self, digest: str, *, namespace: str, pod: str, container: str) -> bool:
        now = self._now()
        keys = (_Key(digest, namespace, pod, container), _Key(digest, namespace, pod, ""))
        return any(now - self._granted[key] <= self._ttl_s for key in keys if key in self._granted)

    def _drop_old(self) -> None:
        now = self._now()
        self._granted = {key: at for key, at in self._granted.items() if now - at <= self._ttl_s}

    async def _save(self) -> None:
        async with self._saving:
            entries = [{**asdict(key), "granted_at": at} for key, at in self._granted.items()]
            try:
                await asyncio.to_thread(replace_file, self._path, json.dumps({"permits": entries}))
            except OSError as exc:
                raise InsufficientStorage(
                    "The agent cannot write down who may be restored",
                    details=f"{self._path}: {exc.strerror}",
                    hint="Free disk on the node, or check the agent's state folder",
                ) from exc


def _read(path: Path) -> dict[_Key, float]:
    found = {}
    entries = read_object(path).get("permits", [])
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {
                "digest": str(digest),
                "namespace": str(namespace),
                "pod": str(pod),
                "container": str(container),
                "granted_at": int() | float() as at,
            }:
                found[_Key(digest, namespace, pod, container)] = float(at)
            case _:
                log.warning("permit_not_understood", path=str(path))
    return found
