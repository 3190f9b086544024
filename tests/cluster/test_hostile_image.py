"""Images that are signed by the trusted key and hostile all the same: the pod starts cold, the node is as before.

The signature says who made an image. It does not make what is in it harmless: a server's key may be stolen, an agent
may be talked into freezing something strange. What the agent alone refuses has its tests in tests/registry.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import secrets
import stat
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import zstandard

from dev.cluster.info import ClusterInfo, NodeInfo
from dev.cluster.kubectl import Kubectl
from ksnap.errors import CheckpointFailed, InsufficientStorage, KsnapError
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef, parse_image
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageState
from ksnap.registry.signatures import LocalSigner, Signing
from tests.cluster.snap import Snap, open_snap
from tests.cluster.wishes import IMAGES, Start, Wishes, registry_access
from tests.parties.altered_images import Members, altered_copy, key_of
from tests.parties.archives import END, Member, criu_images, documents
from tests.parties.checkpoint_images import push_layer, push_zeros
from tests.parties.checkpoint_keys import new_key

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

TARGET = "node2"
OURS = new_key()
MARK = "ksnap-hostile-mark"
"""What hostile members are called: it must be found nowhere."""
WATCHED = ("etc", "opt", "root", "home", "srv", "usr/local", "var/spool", "var/lib/ksnap")
AGENTS_NOTES = re.compile(r"var/lib/ksnap/(\w+/)?[\w.-]+\.json")
BOMB_GIB = 100
AGENT_MIB = 150
"""An agent's whole process, as bench/memory.py bounds it."""
DISK_MIB = 64


@dataclass(frozen=True, slots=True)
class Victim:
    """A node that trusts our key, a registry, and an image whose process is worth the trouble."""

    wishes: Wishes
    namespace: str
    image: ImageRef
    access: RegistryAccess
    token: str

    async def fetched(self, image: ImageRef, pod: str) -> ImageState | KsnapError:
        return await self.wishes.prefetched(image, self.access, self.namespace, pod, public_keys=OURS.public_key.pem)

    async def copy(self, image: ImageRef, pod: str) -> Start:
        return await self.wishes.started(self.wishes.pod(pod, self.namespace, image))

    async def altered(self, change: Callable[[Members], None]) -> ImageRef:
        return await altered_copy(self.access, self.image, _repository(), key=OURS, change=change)

    async def signing(self) -> Signing:
        return Signing(LocalSigner(OURS), await key_of(self.access, self.image))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


@pytest.fixture(scope="module")
def room(kubectl: Kubectl) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(snap: Snap, kubectl: Kubectl, room: str) -> Victim:
    wishes = Wishes(snap.cluster, kubectl, TARGET)
    source = await wishes.started(wishes.pod("web", room, None))
    image, digest = await snap.image_of((await snap.freeze(room, "web"))["checkpoint_id"])
    pinned = parse_image(image).pinned(parse_digest(digest))
    return Victim(wishes, room, pinned, registry_access(snap.cluster, "private"), source.token)


@pytest.fixture(autouse=True)
def node_is_as_before(cluster: ClusterInfo) -> Iterator[None]:
    """Nothing new lies in the node's folders, the cache of images apart, and nothing there has changed."""
    before = files_of(cluster.node(TARGET))
    yield
    assert files_of(cluster.node(TARGET)) == before


def files_of(node: NodeInfo) -> dict[str, tuple[int, int]]:
    """Name -> mode and size of whatever there is, links as links; the cache of images and the agent's notes apart."""
    root, found = node.path("/"), {}
    for top in WATCHED:
        for folder, folders, files in os.walk(root / top):
            if folder == str(node.path(IMAGES).parent):
                folders.remove(node.path(IMAGES).name)
            for path in (Path(folder) / each for each in (*folders, *files)):
                name, status = str(path.relative_to(root)), path.lstat()
                if not AGENTS_NOTES.fullmatch(name):
                    found[name] = (status.st_mode, status.st_size if stat.S_ISREG(status.st_mode) else 0)
    assert not [name for name in found if MARK in name]
    return found


def _repository() -> str:
    return f"hostile/{secrets.token_hex(4)}"


def diff_of(*members: tarfile.TarInfo) -> Callable[[Members], None]:
    """The root file system's difference, made of these."""

    def change(archive: Members) -> None:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for each in members:
                tar.addfile(each, io.BytesIO(b"x" * each.size))
        archive["rootfs-diff.tar"] = made.getvalue()

    return change


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


DIFFS = {
    "climbing": [entry(f"../../../../../../../../etc/{MARK}", size=1)],
    "through a link": [entry("way", tarfile.SYMTYPE, link="/etc"), entry(f"way/{MARK}", size=1)],
    "hard link": [entry(MARK, tarfile.LNKTYPE, link="../../../../../../etc/shadow")],
    "device": [entry(MARK, tarfile.BLKTYPE)],
}


@pytest.mark.parametrize(
    "members", [pytest.param(each, id=name, marks=[] if name == "through a link" else [pytest.mark.thorough])
                for name, each in DIFFS.items()],
)  # fmt: skip
async def test_changes_that_reach_out_of_the_root(victim: Victim, members: list[tarfile.TarInfo]) -> None:
    image = await victim.altered(diff_of(*members))
    pod = f"diff-{secrets.token_hex(3)}"
    assert isinstance(await victim.fetched(image, pod), ImageState), "the agent keeps it as it is"
    start = await victim.copy(image, pod)
    await victim.wishes.assert_cold(start, "RootfsDiffRefused", frozen_token=victim.token)
    found = victim.wishes.kubectl.exec(victim.namespace, pod, ["find", "/", "-xdev", "-name", MARK])
    assert found == "", "nor in the container that then started cold"


def more_rights(archive: Members) -> None:
    """The frozen process says that it was admitted with all of them."""
    spec = json.loads(archive["spec.dump"])
    for each in spec["process"]["capabilities"].values():
        each.append("CAP_SYS_ADMIN")
    archive["spec.dump"] = json.dumps(spec).encode()


def mount_of_the_node(archive: Members) -> None:
    """The frozen container says that it had the node's root."""
    spec = json.loads(archive["spec.dump"])
    spec["mounts"].append({"destination": "/node", "type": "bind", "source": "/", "options": ["rbind", "rw"]})
    archive["spec.dump"] = json.dumps(spec).encode()


@pytest.mark.parametrize(
    ("change", "reason"), [(more_rights, "UserMismatch"), (mount_of_the_node, "MountMismatch")], ids=["rights", "mount"]
)
async def test_a_configuration_that_asks_for_more(
    victim: Victim, change: Callable[[Members], None], reason: str
) -> None:
    image = await victim.altered(change)
    pod = f"config-{reason.lower()}"
    assert isinstance(await victim.fetched(image, pod), ImageState)
    start = await victim.copy(image, pod)
    await victim.wishes.assert_cold(start, reason, frozen_token=victim.token)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["1", "2", "3"], ids=["hard link", "symbolic link", "device"])
async def test_a_member_that_no_runtime_writes(victim: Victim, kind: str) -> None:
    """The agent refuses it before anything of it lies under a name that a restore would read."""
    image = await push_hostile(victim, Member("checkpoint/pages-9.img", kind=kind, link=f"/etc/{MARK}"))
    pod = f"member-{kind}"
    assert isinstance(await victim.fetched(image, pod), CheckpointFailed)
    start = await victim.copy(image, pod)
    await victim.wishes.assert_cold(start, "ImageUntrusted", frozen_token=victim.token)
    assert leftovers(victim.wishes.node, image) == []


async def push_hostile(victim: Victim, member: Member) -> ImageRef:
    """An archive whose last member is this one; no agent would push it."""
    tar = b"".join(each.encode() for each in [*criu_images(), *documents(), member]) + END
    layer, digest = zstandard.compress(tar), f"sha256:{hashlib.sha256(tar).hexdigest()}"
    return await push_layer(
        victim.access, _repository(), layer, digest=digest, size_bytes=len(tar), signing=await victim.signing()
    )


def leftovers(node: NodeInfo, image: ImageRef) -> list[str]:
    """What the cache has of an image, finished or not."""
    return [each.name for each in node.path(IMAGES).iterdir() if (image.digest or "")[7:] in each.name]


@pytest.mark.thorough
async def test_100_gigabytes_of_zeros(victim: Victim) -> None:
    """The agent unpacks no more of them than its cache may hold, and neither memory nor disk is taken by zeros."""
    wishes = victim.wishes
    image = await push_zeros(victim.access, _repository(), gib=BOMB_GIB, signing=await victim.signing())
    agent = Path("/proc") / str(wishes.agent_pid())
    (agent / "clear_refs").write_text("5")
    before, most = disk_mib(wishes.node), 0.0
    fetching = asyncio.ensure_future(victim.fetched(image, "bomb"))
    while not fetching.done():
        most = max(most, disk_mib(wishes.node))
        await asyncio.wait([fetching], timeout=0.5)
    assert isinstance(fetching.result(), InsufficientStorage)
    start = await victim.copy(image, "bomb")
    await wishes.assert_cold(start, "DiskFull", frozen_token=victim.token)
    peak_mib = int((agent / "status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    assert (peak_mib < AGENT_MIB, most - before < DISK_MIB) == (True, True), (peak_mib, before, most)
    assert leftovers(wishes.node, image) == []


def disk_mib(node: NodeInfo) -> float:
    """What the cache of images takes of the disk. Folders and files may go while they are looked at."""
    blocks = 0
    for folder, _, files in os.walk(node.path(IMAGES)):
        for each in files:
            with suppress(FileNotFoundError):
                blocks += os.lstat(os.path.join(folder, each)).st_blocks
    return blocks * 512 / (1 << 20)
