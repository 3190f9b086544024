"""Images that the server has a node prefetch, over HTTP."""

import json
import os

import aiohttp
import pytest
from aiohttp import web

from ksnap.errors import Conflict, InvalidInput, NotFound, RegistryConnectionFailed
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageRequest, ImageState, ImageStatus
from tests.parties.archives import large_archive
from tests.parties.checkpoint_images import digest_of, push_tar
from tests.parties.fault_proxy import Corrupt, Fault, FaultProxy
from tests.parties.registry import RunningRegistry, needs_registry
from tests.parties.restore_socket import ask, outcome_line, prepare_line
from tests.registry.image_cache import MIB
from tests.registry.runtime_node import POD, Node, request_for, settled

pytestmark = [needs_registry, pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")]


class TestHttp:
    async def test_image_is_prefetched_and_told_on_its_way(
        self, registry: RunningRegistry, repository: str, node: Node
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(16 * MIB))
        digest = digest_of(image)
        assert (await node.client.image(digest)).status is ImageStatus.ABSENT
        first = await node.client.prefetch_image(digest, request_for(image, registry.access))
        assert first.status is ImageStatus.PULLING
        seen: list[ImageState] = []
        ready = await node.client.image_ready(digest, told=seen.append)
        assert ready.status is ImageStatus.READY
        assert ready.size_bytes > 16 * MIB
        assert seen[-1] == ready
        again = await node.client.prefetch_image(digest, request_for(image, registry.access))
        assert again == ready
        assert await node.client.images() == [ready]
        assert (await node.client.drop_image(digest)).status is ImageStatus.ABSENT
        assert (await node.client.drop_image(digest)).status is ImageStatus.ABSENT
        assert await node.client.images() == []

    async def test_failure_comes_out_as_what_it_was(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, node: Node
    ) -> None:
        image = await push_tar(access, repository, large_archive(4 * MIB))
        digest = digest_of(image)
        proxy.add(Fault("GET", "/blobs/", Corrupt(2 * MIB), skip=1))
        await node.client.prefetch_image(digest, request_for(image, access))
        with pytest.raises(RegistryConnectionFailed):
            await node.client.image_ready(digest)
        state = await node.client.image(digest)
        assert state.status is ImageStatus.FAILED
        assert state.error is not None
        assert access.password.get_secret_value() not in state.model_dump_json()
        assert (await node.prefetched(image, access)).status is ImageStatus.READY

    async def test_what_nobody_pulls_is_not_waited_for(self, node: Node) -> None:
        with pytest.raises(NotFound):
            await node.client.image_ready("sha256:" + "0" * 64)

    async def test_image_in_use_is_not_dropped(self, registry: RunningRegistry, image: ImageRef, node: Node) -> None:
        await node.prefetched(image, registry.access)
        await ask(node.socket, prepare_line(image))
        with pytest.raises(Conflict):
            await node.client.drop_image(digest_of(image))
        await ask(node.socket, outcome_line(image, restored=True))
        await settled(node)
        await node.client.drop_image(digest_of(image))
        answer = await ask(node.socket, prepare_line(image))
        assert answer["reason"] == "ImageUnavailable", "its permits went with it"

    @pytest.mark.parametrize("digest", ["sha256:12", "sha512:" + "0" * 64, "latest", "sha256:" + "G" * 64])
    async def test_what_is_no_digest_is_refused(self, node: Node, digest: str) -> None:
        with pytest.raises(InvalidInput):
            await node.client.image(digest)

    @pytest.mark.parametrize("repository", ["other:5000/x", "x", "127.0.0.1/x:tag", "../x"])
    async def test_repository_is_of_the_registry_whose_account_is_sent(
        self, registry: RunningRegistry, node: Node, repository: str
    ) -> None:
        with pytest.raises(InvalidInput):
            await node.client.prefetch_image(
                "sha256:" + "0" * 64, ImageRequest(repository=repository, registry=registry.access)
            )

    @pytest.mark.parametrize(
        ("method", "path"),
        [("PUT", ""), ("GET", ""), ("DELETE", ""), ("DELETE", "/failures")],
    )
    async def test_nobody_is_served_without_a_token(self, node: Node, method: str, path: str) -> None:
        runner = web.AppRunner(node.service.app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        url = f"http://{host}:{port}/v1/images/sha256:{'0' * 64}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, data=b"{}") as response:
            assert response.status == 401
        await runner.cleanup()

    def test_wire_says_for(self, registry: RunningRegistry) -> None:
        text = ImageRequest(repository="r/x", registry=registry.access, pods=(POD,)).model_dump_json()
        assert json.loads(text)["for"] == [{"namespace": "shop", "pod": "web-1", "container": ""}]
        assert ImageRequest.model_validate_json(text).pods == (POD,)
