"""One registry with TLS and a password for all tests of this folder; each test takes repositories of its own."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from ksnap.agent.images import Images
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from tests.parties.archives import small_archive, write_archive
from tests.parties.checkpoint_images import push_tar
from tests.parties.fault_proxy import FaultProxy, fault_proxy
from tests.parties.registry import QUICK, RunningRegistry, start_registry
from tests.registry.image_cache import MIB, settings_for
from tests.registry.runtime_node import Node, running


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """A blocking call of ksnap's own in the event loop fails its test."""
    with blockbuster_ctx("ksnap"):
        yield


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def repository() -> str:
    """A repository's name that no other test uses."""
    return f"snap/{secrets.token_hex(6)}"


@pytest.fixture
async def proxy(registry: RunningRegistry) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the registry that changes what a test tells it to."""
    context = registry.certificate.client_context()
    async with fault_proxy(registry.url, tls=registry.certificate, upstream_tls=context) as running:
        yield running


@pytest.fixture
def access(proxy: FaultProxy, registry: RunningRegistry) -> RegistryAccess:
    """The registry's account, through the proxy."""
    return registry.access.model_copy(update={"host": proxy.host})


@pytest.fixture
def folder(registry: RunningRegistry) -> Iterator[Path]:
    """Short: a socket's path has 108 bytes at most. With a CA, which no agent is without."""
    with tempfile.TemporaryDirectory(prefix="ksnap-") as name:
        account = Path(name) / "account"
        account.mkdir()
        shutil.copy(registry.certificate.ca, account / "ca.crt")
        yield Path(name)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def images(state_dir: Path) -> AsyncIterator[Images]:
    async with Images(settings_for(state_dir), timeouts=QUICK) as found:
        yield found


@pytest.fixture
async def node(folder: Path) -> AsyncIterator[Node]:
    async with running(folder) as found:
        yield found


@pytest.fixture
async def image(registry: RunningRegistry, repository: str) -> ImageRef:
    return await push_tar(registry.access, repository, small_archive())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """8 MiB of pages: several chunks on every way."""
    path = tmp_path / "checkpoint.tar"
    write_archive(path, 8 * MIB)
    return path
