"""What a restore needs is taken away, one thing at a time: the pod starts cold each time, in time, and says why.

In time is: no later than a cold start of the same pod took in the same run, and ksnap-runc's deadline. Every fault is
the real node's, and is undone whatever comes of the test.
"""

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo, NodeInfo, node_exec
from dev.cluster.kubectl import Kubectl
from ksnap.agent.cpu_features import CPU_FEATURES, cpu_features
from ksnap.errors import InsufficientStorage, KsnapError, RegistryConnectionFailed, RestoreFailed
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef, parse_image
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageState, ImageStatus
from ksnap.oci.parse import parse_index
from ksnap.oci.signing_keys import SigningKey
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from tests.cluster.snap import Snap, open_snap
from tests.cluster.test_restore import agents_nowhere
from tests.cluster.wishes import IMAGES, NODE_FILE, Start, Wishes, registry_access
from tests.parties.altered_images import altered_copy
from tests.parties.certificates import issue_certificate
from tests.parties.checkpoint_keys import new_key
from tests.parties.fault_proxy import Answer, Fault, FaultProxy, Hang, fault_proxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

TARGET = "node2"
DEADLINE_S = 6.0
"""Of the node's own file, instead of half a minute: what only the deadline ends is to end soon."""
SLACK_S = 10.0
"""The machine's: two cores run a whole cluster and the tests."""
CRIU = "/usr/sbin/criu"
OURS, THEIRS = new_key(), new_key()
PROCESSOR = cpu_features(Path("/proc/cpuinfo").read_text())


@dataclass(frozen=True, slots=True)
class Frozen:
    """The image of a web app with a volume, and what a start of it is measured by."""

    wishes: Wishes
    namespace: str
    image: ImageRef
    access: RegistryAccess
    public_keys: str
    token: str
    cold_s: float

    async def fetched(self, pod: str, *, wait: bool = True) -> ImageState | KsnapError:
        """The image asked for on the node, for that pod."""
        return await self.wishes.prefetched(
            self.image, self.access, self.namespace, pod, public_keys=self.public_keys, wait=wait
        )

    async def copy(self, pod: str) -> Start:
        """The pod that wishes to go on from the image; Ready in time, whatever it met."""
        start = await self.wishes.started(self.wishes.pod(pod, self.namespace, self.image))
        self.assert_in_time(start)
        return start

    def assert_in_time(self, start: Start) -> None:
        took = self.wishes.record(start)
        assert start.seconds <= self.cold_s + DEADLINE_S + SLACK_S, f"a cold start takes {self.cold_s:.1f} s; {took}"

    async def assert_cold(self, start: Start, reason: str) -> str:
        return await self.wishes.assert_cold(start, reason, frozen_token=self.token)

    async def signed_by(self, key: SigningKey | None, **annotations: str) -> "Frozen":
        """A copy of the image that somebody else made, on a node that trusts our key."""
        repository = f"taken-away/{secrets.token_hex(4)}"
        image = await altered_copy(self.access, self.image, repository, key=key, annotations=annotations)
        return replace(self, image=image, public_keys=OURS.public_key.pem)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


@pytest.fixture(scope="module")
def room(kubectl: Kubectl) -> Iterator[str]:
    """One namespace for all: an image is for pods of its own."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s", timeout_s=40)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def wishes(snap: Snap, kubectl: Kubectl) -> Iterator[Wishes]:
    """The node, with the short deadline; afterwards it is as the set-up left it."""
    cluster = snap.cluster
    file = cluster.node(TARGET).path(NODE_FILE)
    text = file.read_text()
    file.write_text(json.dumps({**json.loads(text), "deadline_ms": round(DEADLINE_S * 1000)}))
    try:
        yield Wishes(cluster, kubectl, TARGET)
    finally:
        file.write_text(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def frozen(snap: Snap, wishes: Wishes, room: str) -> Frozen:
    await wishes.started(wishes.pod("first", room, None))
    source = await wishes.started(wishes.pod("web", room, None))
    checkpoint = await snap.freeze(room, "web")
    image, digest = await snap.image_of(checkpoint["checkpoint_id"])
    key = await snap.ok("GET", "/config/signing/public-key")
    pinned = parse_image(image).pinned(parse_digest(digest))
    return Frozen(
        wishes, room, pinned, registry_access(snap.cluster, "private"), key["public_key"], source.token, source.seconds
    )


async def test_with_everything_there_it_is_restored(frozen: Frozen) -> None:
    """The others are cold because of what they miss, and of nothing else."""
    assert isinstance(await frozen.fetched("all-there"), ImageState)
    start = await frozen.copy("all-there")
    assert start.token == frozen.token
    assert (await frozen.wishes.told(start)).keys() == {"Restored"}


async def test_without_criu(frozen: Frozen) -> None:
    assert isinstance(await frozen.fetched("no-criu"), ImageState)
    with hidden(frozen.wishes.node, CRIU):
        start = await frozen.copy("no-criu")
    await frozen.assert_cold(start, "CriuMissing")
    assert "Version" in node_exec(frozen.wishes.node, ["criu", "--version"])


async def test_with_a_damaged_image(frozen: Frozen) -> None:
    """It was whole when it came; CRIU is the one that finds out, and what it made is taken away again."""
    assert isinstance(await frozen.fetched("damaged"), ImageState)
    file = unpacked(frozen) / "checkpoint/mm-1.img"
    file.write_bytes(bytes(file.stat().st_size))
    start = await frozen.copy("damaged")
    said = await frozen.assert_cold(start, "RestoreFailed")
    assert "runc restore" in said
    # CRIU had written the frozen pod's into the namespace that all containers of this one share.
    assert frozen.wishes.kubectl.exec(frozen.namespace, "damaged", ["hostname"]).strip() == "damaged"


async def test_without_a_mount_of_the_frozen_one(frozen: Frozen) -> None:
    assert isinstance(await frozen.fetched("no-mount"), ImageState)
    pod = frozen.wishes.pod("no-mount", frozen.namespace, frozen.image)
    del pod["spec"]["volumes"], pod["spec"]["containers"][0]["volumeMounts"]
    start = await frozen.wishes.started(pod)
    frozen.assert_in_time(start)
    assert "/scratch" in await frozen.assert_cold(start, "MountMismatch")


@pytest.mark.thorough
async def test_with_a_criu_that_does_not_end(frozen: Frozen) -> None:
    """It reads at the end of its pages for ever; another file is longer by as much, or the agent would have seen it."""
    assert isinstance(await frozen.fetched("criu-hangs"), ImageState)
    pages = unpacked(frozen) / "checkpoint/pages-1.img"
    with (unpacked(frozen) / "dump.log").open("ab") as log:
        log.truncate(log.seek(0, os.SEEK_END) + pages.stat().st_size)
    os.truncate(pages, 0)
    start = await frozen.copy("criu-hangs")
    assert "Preadv" in await frozen.assert_cold(start, "DeadlineExceeded")


@pytest.mark.thorough
async def test_with_the_image_removed_from_the_node(frozen: Frozen) -> None:
    assert isinstance(await frozen.fetched("removed"), ImageState)
    shutil.rmtree(unpacked(frozen))
    await frozen.assert_cold(await frozen.copy("removed"), "ImageUnavailable")


@pytest.mark.thorough
async def test_with_an_image_that_is_cut_off(frozen: Frozen) -> None:
    """CRIU would read on at the end of the file until the deadline; the agent does not hand it out."""
    assert isinstance(await frozen.fetched("cut-off"), ImageState)
    os.truncate(unpacked(frozen) / "checkpoint/pages-1.img", 4096)
    await frozen.assert_cold(await frozen.copy("cut-off"), "ImageUnavailable")
    assert not unpacked(frozen).exists()


@pytest.mark.thorough
@pytest.mark.parametrize("key", [None, THEIRS], ids=["no", "another"])
async def test_with_no_signature_of_ours(frozen: Frozen, key: SigningKey | None) -> None:
    name = "unsigned" if key is None else "signed-by-another"
    strange = await frozen.signed_by(key)
    refused = await strange.fetched(name)
    assert isinstance(refused, RestoreFailed), refused
    assert "signed" in refused.message
    await strange.assert_cold(await strange.copy(name), "ImageUntrusted")


@pytest.mark.thorough
async def test_without_an_instruction_that_the_frozen_one_may_use(frozen: Frozen) -> None:
    """A processor of the future froze it; the rest of what it names is this one's."""
    other = await frozen.signed_by(OURS, **{CPU_FEATURES: f"{PROCESSOR} avx4096"})
    assert isinstance(await other.fetched("no-cpu"), ImageState), "it is signed, and whole"
    assert (await other.assert_cold(await other.copy("no-cpu"), "CpuMismatch")).endswith(": avx4096")


async def test_the_image_names_its_processor(frozen: Frozen) -> None:
    async with open_registry(frozen.access) as client:
        index = parse_index((await Manifests(client, frozen.image.repository).get(frozen.image.digest or "")).data)
    assert index.annotations[CPU_FEATURES] == PROCESSOR


@pytest.mark.thorough
async def test_without_a_registry(frozen: Frozen, tmp_path: Path) -> None:
    async with proxied(frozen, tmp_path) as (through, proxy):
        proxy.add(Fault("GET", "/v2/", Answer(503), times=None))
        assert isinstance(await through.fetched("no-registry"), RegistryConnectionFailed)
        start = await through.copy("no-registry")
    await through.assert_cold(start, "ImageUnavailable")


@pytest.mark.thorough
async def test_with_a_registry_that_is_silent(frozen: Frozen, tmp_path: Path) -> None:
    async with proxied(frozen, tmp_path) as (through, proxy):
        proxy.add(Fault("GET", "/blobs/", Hang(), times=None))
        state = await through.fetched("silent-registry", wait=False)
        assert isinstance(state, ImageState)
        assert state.status is ImageStatus.PULLING
        start = await through.copy("silent-registry")
        assert start.seconds >= DEADLINE_S, "the pod gave it the time that it has"
        await through.assert_cold(start, "DeadlineExceeded")
        async with through.wishes.agent() as agent:
            await agent.drop_image(through.image.digest or "")


@pytest.mark.thorough
async def test_without_room_on_the_nodes_disk(frozen: Frozen) -> None:
    with little_disk(frozen.wishes):
        assert isinstance(await frozen.fetched("no-room"), InsufficientStorage)
        start = await frozen.copy("no-room")
    await frozen.assert_cold(start, "DiskFull")


@pytest.mark.thorough
async def test_with_an_agent_that_hangs(frozen: Frozen) -> None:
    """It takes the connection and says nothing."""
    assert isinstance(await frozen.fetched("agent-hangs"), ImageState)
    pid = frozen.wishes.agent_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        start = await frozen.copy("agent-hangs")
    finally:
        os.kill(pid, signal.SIGCONT)
    await frozen.assert_cold(start, "DeadlineExceeded")


@pytest.mark.thorough
async def test_without_an_agent(frozen: Frozen, kubectl: Kubectl) -> None:
    """Nobody is there to tell the pod why: the next agent does."""
    assert isinstance(await frozen.fetched("no-agent"), ImageState)
    with agents_nowhere(kubectl):
        start = await frozen.copy("no-agent")
    await frozen.assert_cold(start, "AgentUnavailable")


def unpacked(frozen: Frozen) -> Path:
    """The image's folder on the node."""
    return frozen.wishes.node.path(IMAGES) / (frozen.image.digest or "").replace(":", "-")


@contextmanager
def hidden(node: NodeInfo, program: str) -> Iterator[None]:
    """Where a program was there is nothing to execute."""
    node_exec(node, ["mount", "--bind", "/dev/null", program])
    try:
        yield
    finally:
        node_exec(node, ["umount", program])


@contextmanager
def little_disk(wishes: Wishes) -> Iterator[None]:
    """A small file system in the agent's own view, where it keeps images: only its process sees it."""
    pid = wishes.agent_pid()
    _in_mounts_of(pid, f"mount(b'none', b'{IMAGES}', b'tmpfs', 0, b'size=4m')")
    try:
        yield
    finally:
        _in_mounts_of(pid, f"umount2(b'{IMAGES}', 0)")


def _in_mounts_of(pid: int, call: str) -> None:
    """A system call in a process' mount namespace, by the Python there: its image need not have mount(8)."""
    program = f"import ctypes,os; c = ctypes.CDLL(None, use_errno=True); c.{call} and os._exit(ctypes.get_errno())"
    done = subprocess.run(["nsenter", f"--target={pid}", "--mount", "python3", "-c", program], check=False)
    assert done.returncode == 0, os.strerror(done.returncode)


@asynccontextmanager
async def proxied(frozen: Frozen, folder: Path) -> AsyncIterator[tuple[Frozen, FaultProxy]]:
    """The image by way of a proxy."""
    address = frozen.access.host.partition(":")[0]
    trust = ssl.create_default_context(cadata=frozen.access.ca_cert)
    certificate = issue_certificate(folder, hosts=("proxy.test", address))
    async with fault_proxy(
        f"https://{frozen.access.host}", tls=certificate, upstream_tls=trust, address=address
    ) as proxy:
        access = frozen.access.model_copy(update={"host": proxy.host, "ca_cert": certificate.ca_pem})
        image = ImageRef(proxy.host, frozen.image.repository, digest=frozen.image.digest)
        yield replace(frozen, access=access, image=image), proxy
