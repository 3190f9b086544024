"""Only what the server's key signed is unpacked on a node, and nobody restores from anything else."""

import os

import pytest

from ksnap.errors import RestoreFailed
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef
from ksnap.node.protocol import ImageState, ImageStatus
from ksnap.oci.signing_keys import SigningKey
from tests.parties.checkpoint_keys import new_key
from tests.parties.registry import RunningRegistry, needs_registry
from tests.parties.restore_socket import ask, prepare_line
from tests.registry.runtime_node import Node, request_for
from tests.registry.test_signatures import OURS, push

pytestmark = [needs_registry, pytest.mark.skipif(os.getuid() != 0, reason="the socket is root's alone")]


async def prefetched(
    node: Node, registry: RunningRegistry, repository: str, signed_by: SigningKey | None
) -> tuple[ImageRef, ImageState]:
    pushed = await push(registry.access, repository, key=signed_by)
    image = ImageRef(registry.access.host, repository, digest=parse_digest(pushed.digest))
    request = request_for(image, registry.access).model_copy(update={"public_keys": OURS.public_key.pem})
    await node.client.prefetch_image(pushed.digest, request)
    return image, await node.client.image_ready(pushed.digest)


async def test_an_image_that_our_key_signed_is_handed_out(
    node: Node, registry: RunningRegistry, repository: str
) -> None:
    image, state = await prefetched(node, registry, repository, OURS)
    assert state.status is ImageStatus.READY
    assert (await ask(node.socket, prepare_line(image)))["ready"] is True


@pytest.mark.parametrize("signed_by", [None, new_key()], ids=["nobody", "another"])
async def test_any_other_image_is_refused_before_its_bytes_come(
    node: Node, registry: RunningRegistry, repository: str, signed_by: SigningKey | None
) -> None:
    with pytest.raises(RestoreFailed, match="signed"):
        await prefetched(node, registry, repository, signed_by)
    [state] = await node.client.images()
    assert (state.status, state.bytes_done) == (ImageStatus.FAILED, 0)
    answer = await ask(node.socket, prepare_line(f"{registry.access.host}/{repository}@{state.digest}"))
    assert (answer["ready"], answer["reason"]) == (False, "ImageUntrusted")
    assert list((node.settings.state_dir / "images").glob("sha256-*")) == []
