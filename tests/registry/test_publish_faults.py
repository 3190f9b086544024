"""Archives published through every fault that a registry or a network can show.

After each failure nothing may be left that a tag names, and no upload that could have been cancelled.
"""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from ksnap.errors import ImagePushFailed, RegistryConnectionFailed
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import undo_push
from tests.parties.fault_proxy import Answer, DropAfter, Fault, FaultProxy, Hang
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.publishing import MIB, Journal, push, tagged

pytestmark = needs_registry


class TestFaults:
    async def test_a_wrong_password(self, registry: RunningRegistry, repository: str, archive: Path) -> None:
        wrong = registry.access.model_copy(update={"password": SecretStr("wrong")})
        with pytest.raises(RegistryConnectionFailed, match="refused the credentials"):
            await push(archive, wrong, repository)

    async def test_a_dropped_connection_is_pushed_again(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        fault = proxy.add(Fault("PATCH", "/uploads/", DropAfter(2 * MIB)))
        _, image = await push(archive, access, repository)
        assert fault.met == 1
        assert await tagged(registry, repository) == image.digest

    async def test_a_connection_that_always_drops_is_given_up(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        fault = proxy.add(Fault("PATCH", "/uploads/", DropAfter(MIB), times=None))
        with pytest.raises(ImagePushFailed, match="dropped the connection") as caught:
            await push(archive, access, repository)
        assert fault.met == 3
        assert repository in caught.value.details
        assert await tagged(registry, repository) is None

    @pytest.mark.parametrize("after", [None, 2 * MIB])
    async def test_a_registry_that_hangs_is_noticed_in_time(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path, after: int | None
    ) -> None:
        proxy.add(Fault("PATCH", "/uploads/", Hang(after_request_bytes=after), times=None))
        clock = asyncio.get_running_loop().time
        begun = clock()
        with pytest.raises(ImagePushFailed, match="stopped answering"):
            await push(archive, access, repository)
        assert clock() - begun < 8
        assert any(seen.method == "DELETE" for seen in proxy.requests), "the upload is cancelled"

    async def test_an_error_500_in_the_middle_is_pushed_again(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        fault = proxy.add(Fault("PATCH", "/uploads/", Answer(500, b"oops", read_body=False)))
        _, image = await push(archive, access, repository)
        assert fault.met == 1
        assert image.digest

    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/uploads/"), ("PUT", "/uploads/"), ("PUT", "/manifests/"), ("HEAD", "/blobs/")]
    )
    async def test_a_busy_registry_is_asked_again(
        self, proxy: FaultProxy, access: RegistryAccess, archive: Path, method: str, path: str
    ) -> None:
        repository = f"snap/busy-{method}-{len(path)}".lower()
        fault = proxy.add(Fault(method, path, Answer(503, headers={"Retry-After": "0"}), times=2))
        _, image = await push(archive, access, repository)
        assert fault.met == 2
        assert image.digest

    async def test_a_registry_whose_errors_stay_leaves_no_tag(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        proxy.add(Fault("PUT", "/manifests/one", Answer(500, b"oops"), times=None))
        journal = Journal()
        with pytest.raises(ImagePushFailed, match="refused the request"):
            await push(archive, access, repository, journal)
        assert await tagged(registry, repository) is None
        async with open_registry(registry.access) as client:
            await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)

    async def test_a_full_registry_is_said(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        body = b'{"errors":[{"code":"UNKNOWN","message":"write: no space left on device"}]}'
        fault = proxy.add(Fault("PATCH", "/uploads/", Answer(500, body), times=None))
        with pytest.raises(ImagePushFailed, match="no space left"):
            await push(archive, access, repository)
        assert fault.met == 1, "it stays full: not tried again"

    async def test_a_registry_that_takes_no_streams_gets_the_layer_in_one_piece(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        proxy.add(Fault("PATCH", "/uploads/", Answer(411), times=None))
        facts, image = await push(archive, access, repository)
        assert await tagged(registry, repository) == image.digest
        whole = [seen for seen in proxy.requests if seen.method == "PUT" and "/uploads/" in seen.path]
        assert whole[0].headers["Content-Length"] == str(facts.compressed_bytes)

    async def test_a_registry_that_loses_the_index_is_not_believed(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        # Four HEADs of manifests: is the manifest there, is the index, what does the tag name, did the index arrive.
        proxy.add(Fault("HEAD", "/manifests/", Answer(404), times=None, skip=3))
        with pytest.raises(ImagePushFailed, match="does not show the pushed image"):
            await push(archive, access, repository)

    async def test_a_plain_address_on_a_tls_registry_is_upgraded(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        """A registry behind a proxy that ends TLS hands out http addresses; nothing may go there in clear."""
        location = f"http://{proxy.host}/v2/{repository}/blobs/uploads/gone"
        proxy.add(Fault("POST", "/uploads/", Answer(202, headers={"Location": location}), skip=1))
        await push(archive, access, repository)
        assert any(seen.method == "PATCH" and seen.path.endswith("/gone") for seen in proxy.requests)
