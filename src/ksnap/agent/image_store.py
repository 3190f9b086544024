"""The unpacked images on this node's disk: which there are, who holds them, and room for more.

An image lies in `<state_dir>/images/sha256-<hex>`, whole or not at all (`image_writer`). The least recently used ones
go when there are too many bytes of them, or when the disk has too little left; an image that a container's start holds
never does. Methods are for the event loop; what blocks goes to a thread.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from ksnap.agent.archives import free_bytes
from ksnap.agent.image_writer import DESCRIPTION, digest_of_folder, remove_folder, sweep
from ksnap.agent.metrics import IMAGE_CACHE_BYTES, IMAGE_EVICTIONS
from ksnap.agent.state_files import read_object, replace_file
from ksnap.errors import InsufficientStorage
from ksnap.model.digest import Digest
from ksnap.oci.signature import SignedClaims

log = structlog.get_logger()

# The contract with the runtime: a container's start is over by then, whether or not its outcome was told.
HOLD_S = 600.0
# A pull asks for room in such steps: the disk is looked at now and then, and not for each piece.
_STEP_BYTES = 8 << 20


@dataclass(slots=True)
class CachedImage:
    """One unpacked image."""

    digest: Digest
    path: Path
    size_bytes: int
    repository: str = ""
    """Where it was pulled from."""
    architecture: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    """Of the index: the checkpoint key is among them."""
    signed: dict[str, str] = field(default_factory=dict)
    """What a trusted key says of it, the whole checkpoint key; empty where nobody asked for a signature."""
    signed_by: str = ""
    """That key's id."""
    used_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Hold:
    digest: str
    until: float


class ImageStore:
    """Call `open` first."""

    def __init__(self, state_dir: Path, *, limit_bytes: int, min_free_bytes: int) -> None:
        self.folder = state_dir / "images"
        self._holds_file = state_dir / "holds.json"
        self._limit = limit_bytes
        self._min_free = min_free_bytes
        self._images: dict[Digest, CachedImage] = {}
        self._holds: dict[str, _Hold] = {}
        self._rooms: set[Room] = set()
        self._lock = asyncio.Lock()
        self._saving = asyncio.Lock()

    async def open(self) -> None:
        """Find what is there; remove what a killed agent left unfinished."""
        swept, images = await asyncio.to_thread(self._load)
        self._images = {each.digest: each for each in images}
        self._holds = await asyncio.to_thread(_read_holds, self._holds_file)
        self._count()
        log.info("images_found", images=len(images), swept=len(swept))

    def get(self, digest: Digest) -> CachedImage | None:
        return self._images.get(digest)

    def all(self) -> list[CachedImage]:
        return list(self._images.values())

    def add(self, image: CachedImage) -> None:
        """An image that now lies in its folder."""
        image.used_at = time.time()
        self._images[image.digest] = image
        self._count()

    async def touch(self, image: CachedImage) -> bool:
        """Note its use, also for the next agent; False if it is not what it was: it is forgotten then, and removed."""
        image.used_at = time.time()
        if await asyncio.to_thread(_is_whole, image):
            return True
        log.warning("image_lost", digest=image.digest)
        if self._images.get(image.digest) is image:
            await self.remove(image)
        return False

    async def vouch(self, image: CachedImage, claims: SignedClaims) -> None:
        """Note what a trusted key says of an image that is there already, also for the next agent."""
        image.signed, image.signed_by = dict(claims.annotations), claims.key_id
        path = image.path / DESCRIPTION
        described = await asyncio.to_thread(read_object, path)
        text = json.dumps({**described, "signed": image.signed, "signed_by": image.signed_by}, sort_keys=True)
        try:
            await asyncio.to_thread(replace_file, path, text)
        except OSError as exc:
            log.warning("claims_not_saved", digest=image.digest, reason=exc.strerror)

    async def hold(self, container_id: str, digest: Digest) -> None:
        """Keep an image for a container's start: until `release`, or so long as a start may last."""
        now = time.time()
        self._holds = {name: each for name, each in self._holds.items() if each.until > now}
        self._holds[container_id] = _Hold(digest, now + HOLD_S)
        await self._save_holds()

    async def release(self, container_id: str) -> None:
        """The start is over; one that held nothing is no error."""
        if self._holds.pop(container_id, None) is not None:
            await self._save_holds()

    def is_held(self, digest: Digest) -> bool:
        now = time.time()
        return any(each.digest == digest and each.until > now for each in self._holds.values())

    async def remove(self, image: CachedImage) -> None:
        """Take it away; nobody finds it from here on."""
        self._images.pop(image.digest, None)
        self._count()
        await asyncio.to_thread(remove_folder, image.path)

    @asynccontextmanager
    async def room(self) -> AsyncIterator["Room"]:
        """Room for one pull; given back when its image is in the store, or is not to be."""
        room = Room(self)
        self._rooms.add(room)
        try:
            yield room
        finally:
            self._rooms.discard(room)

    async def make_room(self, room: "Room", total: int) -> None:
        """Let a pull have `total` bytes; InsufficientStorage if not even evicting makes that possible."""
        if total > self._limit:
            raise InsufficientStorage(
                "The image is larger than this node's cache of images",
                details=f"more than {self._limit:,} bytes",
                hint="Raise the agent's image_cache_bytes",
            )
        async with self._lock:
            growth = total - room.bytes
            while (lack := await self._lack(growth)) is not None:
                victim = self._victim()
                if victim is None:
                    raise lack
                log.info("image_evicted", digest=victim.digest, size_bytes=victim.size_bytes, reason=lack.message)
                IMAGE_EVICTIONS.inc()
                await self.remove(victim)
            room.bytes = total

    async def _lack(self, growth: int) -> InsufficientStorage | None:
        """What stands against so many bytes more."""
        used = sum(each.size_bytes for each in self._images.values()) + sum(each.bytes for each in self._rooms)
        if used + growth > self._limit:
            return InsufficientStorage(
                "This node's cache of images is full",
                details=f"{used:,} of {self._limit:,} bytes are in use by images that are held or being pulled",
                hint="Raise the agent's image_cache_bytes, or restore fewer images at a time",
            )
        free = await asyncio.to_thread(free_bytes, self.folder)
        if free is not None and free - growth < self._min_free:
            return InsufficientStorage(
                "The node's disk is too full for the image",
                details=f"{free:,} bytes are free at {self.folder}, {self._min_free:,} must be left",
                hint="Free disk on the node, or lower the agent's min_free_bytes",
            )
        return None

    def _victim(self) -> CachedImage | None:
        free = [each for each in self._images.values() if not self.is_held(each.digest)]
        return min(free, key=lambda each: each.used_at, default=None)

    def _load(self) -> tuple[list[str], list[CachedImage]]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        return sweep(self.folder), list(_read_images(self.folder))

    async def _save_holds(self) -> None:
        async with self._saving:
            text = _holds_text(self._holds)
            try:
                # A node's restart ends every start that could hold something: no need to wait for the disk.
                await asyncio.to_thread(replace_file, self._holds_file, text, durable=False)
            except OSError as exc:
                log.warning("holds_not_saved", reason=exc.strerror)

    def _count(self) -> None:
        IMAGE_CACHE_BYTES.set(sum(each.size_bytes for each in self._images.values()))


class Room:
    """What one pull has written so far."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.bytes = 0

    async def reach(self, total: int, *, at_once: bool = False) -> None:
        """Account for `total` bytes, now or with the next large step; InsufficientStorage if they are too many."""
        if total - self.bytes >= (1 if at_once else _STEP_BYTES):
            await self._store.make_room(self, total)


def _is_whole(image: CachedImage) -> bool:
    """Whether its files have the bytes that were unpacked, by their sizes, and note its use.

    CRIU reads at the end of a file that is too short for ever, so that only the deadline would end the restore. Whether
    the bytes are still the same could be told only by reading all of them, which a start does not wait for.
    """
    try:
        os.utime(image.path / DESCRIPTION)
        return sum(_sizes(image.path)) == image.size_bytes
    except OSError:
        return False


def _sizes(folder: Path) -> Iterator[int]:
    """Of all files of an unpacked image but our description of it."""
    for path, _, names in os.walk(folder, onerror=_raised):
        for name in names:
            if name != DESCRIPTION:
                yield os.lstat(os.path.join(path, name)).st_size


def _raised(error: OSError) -> None:
    raise error


def _read_images(folder: Path) -> Iterator[CachedImage]:
    """The images under their names. A folder that does not say that it is the one of its name is removed."""
    for path in sorted(folder.glob("sha256-*")):
        described = read_object(path / DESCRIPTION)
        digest = digest_of_folder(path.name)
        size = described.get("size_bytes")
        if digest is None or described.get("digest") != digest or not isinstance(size, int):
            log.warning("image_not_understood", path=str(path))
            remove_folder(path)
            continue
        yield CachedImage(
            digest=digest,
            path=path,
            size_bytes=size,
            repository=str(described.get("repository", "")),
            architecture=str(described.get("architecture", "")),
            annotations=_texts(described.get("annotations")),
            signed=_texts(described.get("signed")),
            signed_by=str(described.get("signed_by", "")),
            used_at=(path / DESCRIPTION).stat().st_mtime,
        )


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _read_holds(path: Path) -> dict[str, _Hold]:
    found = {}
    for name, each in read_object(path).items():
        match each:
            case {"digest": str(digest), "until": int() | float() as until}:
                found[name] = _Hold(digest, float(until))
    return found


def _holds_text(holds: dict[str, _Hold]) -> str:
    return json.dumps({name: {"digest": each.digest, "until": each.until} for name, each in holds.items()})
