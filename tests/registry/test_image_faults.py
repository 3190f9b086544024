"""Pulls that the registry, the network or the agent's own death disturb: whole all the same, or nothing of them."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from ksnap.agent.images import Images
from ksnap.errors import InvalidInput, KsnapError, NotFound, RegistryConnectionFailed
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageStatus
from tests.parties.archives import large_archive, small_archive
from tests.parties.checkpoint_images import digest_of, push_tar
from tests.parties.fault_proxy import Answer, Corrupt, CutAnswer, Fault, FaultProxy, Hang
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.image_cache import BLOBS, MIB, eventually, left, settings_for, through

pytestmark = needs_registry


def files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def begun_pages(state_dir: Path) -> list[Path]:
    return list(state_dir.glob("images/.making-*/checkpoint/pages-1.img"))


class TestFaults:
    async def fails(self, images: Images, image: ImageRef, access: RegistryAccess, state_dir: Path) -> KsnapError:
        with pytest.raises(KsnapError) as caught:
            await images.ensure(through(image, access), access)
        assert left(state_dir) == []
        state = images.state(digest_of(image))
        assert state.status is ImageStatus.FAILED
        assert state.error is not None
        assert state.error.code == caught.value.code
        return caught.value

    async def test_a_connection_cut_in_the_middle_is_taken_up_again(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        image = await push_tar(access, repository, large_archive(8 * MIB))
        cut = proxy.add(Fault("GET", BLOBS, CutAnswer(3 * MIB), skip=1))
        cached = await images.ensure(image, access)
        assert cut.met == 1
        pages = (cached.path / "checkpoint" / "pages-1.img").read_bytes()
        assert pages in large_archive(8 * MIB)

    async def test_one_that_is_always_cut_is_given_up(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, large_archive(8 * MIB))
        proxy.add(Fault("GET", BLOBS, CutAnswer(0), skip=1, times=None))
        assert isinstance(await self.fails(images, image, access, state_dir), RegistryConnectionFailed)

    @pytest.mark.parametrize("offset", [10, 3 * MIB, 8 * MIB])
    async def test_an_altered_byte_is_refused(
        self, proxy: FaultProxy, access: RegistryAccess, state_dir: Path, offset: int
    ) -> None:
        image = await push_tar(access, f"snap/altered-{offset}", large_archive(8 * MIB))
        proxy.add(Fault("GET", BLOBS, Corrupt(offset), skip=1))
        async with Images(settings_for(state_dir)) as images:
            await self.fails(images, image, access, state_dir)
            cached = await images.ensure(image, access)
        assert cached.path.is_dir(), "a failure is no sentence: the next one is tried"

    async def test_an_index_with_another_digest_is_refused(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        # The first answer of all asks for the password.
        proxy.add(Fault("GET", "/manifests/", Corrupt(20), skip=1))
        error = await self.fails(images, image, access, state_dir)
        assert "digest differs" in error.details

    async def test_a_manifest_with_another_digest_is_refused(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        proxy.add(Fault("GET", "/manifests/", Corrupt(20), skip=2))
        assert "digest differs" in (await self.fails(images, image, access, state_dir)).details

    async def test_an_image_that_is_not_there(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = ImageRef(registry.host, repository, digest=Digest("sha256:" + "0" * 64))
        assert isinstance(await self.fails(images, image, registry.access, state_dir), NotFound)

    async def test_a_tag_is_no_digest(self, registry: RunningRegistry, repository: str, images: Images) -> None:
        with pytest.raises(InvalidInput):
            await images.ensure(ImageRef(registry.host, repository, tag="one"), registry.access)

    async def test_a_registry_that_falls_silent_is_given_up(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        proxy.add(Fault("GET", BLOBS, Hang(), times=None))
        await self.fails(images, image, access, state_dir)
        proxy.release()

    async def test_wrong_credentials_and_another_who_has_the_right_ones(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        """The second one's place is tried when the first one's fails, without a second ask."""
        image = await push_tar(access, repository, small_archive())
        refused = proxy.add(Fault("GET", "/manifests/", Answer(403, b"no")))
        first = asyncio.ensure_future(images.ensure(image, access.model_copy(update={"verify_ssl": False})))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(images.ensure(image, access))
        assert (await second).digest == image.digest
        assert (await first).digest == image.digest
        assert refused.met == 1

    async def test_no_credential_reaches_the_disk(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(registry.access, repository, small_archive())
        await images.ensure(image, registry.access)
        assert files_with(state_dir, registry.access.password.get_secret_value().encode()) == []


_PULL = """
import asyncio, sys
from pathlib import Path
from ksnap.agent.images import Images
from ksnap.agent.settings import AgentSettings
from ksnap.model.image import parse_image
from ksnap.model.registry_access import RegistryAccess

async def main():
    settings = AgentSettings(node_name="n", state_dir=Path(sys.argv[1]), min_free_bytes=0)
    access = RegistryAccess.model_validate_json(sys.stdin.read())
    async with Images(settings) as images:
        await images.ensure(parse_image(sys.argv[2]), access)

asyncio.run(main())
"""


class TestKilled:
    async def test_what_a_killed_agent_left_is_swept(
        self, registry: RunningRegistry, repository: str, state_dir: Path
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(64 * MIB))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PULL, str(state_dir), str(image), stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(registry.access.model_dump_json().encode())
        process.stdin.close()
        await eventually(lambda: begun_pages(state_dir) != [])
        process.send_signal(signal.SIGKILL)
        await process.wait()
        (begun,) = left(state_dir)
        assert begun.startswith(".making-")

        async with Images(settings_for(state_dir)) as images:
            assert left(state_dir) == []
            assert images.states() == []
            assert (await images.ensure(image, registry.access)).path.is_dir()
