"""A checkpoint image that is in a registry, again with something changed in it, signed by whomever the test likes.

    copy = await altered_copy(access, image, "tests/altered", key=OURS, change=with_more_rights)

What is not changed is the real archive of a real process, so that a refusal is due to the change alone.
"""

import io
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from ksnap.agent.publish import push_archive
from ksnap.agent.transfer import architecture
from ksnap.model.checkpoint_key import key_of_annotations
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from ksnap.oci.parse import parse_index
from ksnap.oci.signing_keys import SigningKey
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget
from ksnap.registry.image_read import find_layer, open_archive
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import LocalSigner, Signing
from tests.parties.archives import END, Member

Members = dict[str, bytes]
"""Name -> content, in the archive's order; a folder's name ends in a slash."""

# Any: nothing restores by it.
_CREATED = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)


async def members_of(access: RegistryAccess, image: ImageRef) -> Members:
    """The archive of an image, in memory: for images of small processes."""
    async with open_registry(access) as client:
        layer = await find_layer(client, image.repository, image.digest or "")
        async with open_archive(client, image.repository, layer.digest) as chunks:
            tar = b"".join([chunk async for chunk in chunks])
    found: Members = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for each in archive:
            file = archive.extractfile(each)
            found[each.name if file else each.name.rstrip("/") + "/"] = file.read() if file else b""
    return found


async def altered_copy(
    access: RegistryAccess,
    image: ImageRef,
    repository: str,
    *,
    key: SigningKey | None,
    change: Callable[[Members], None] = lambda _: None,
    annotations: Mapping[str, str] | None = None,
) -> ImageRef:
    """Push it to another repository, with the same checkpoint key; `annotations` come on top."""
    members = await members_of(access, image)
    change(members)
    said = await key_of(access, image)
    signing = None if key is None else Signing(LocalSigner(key), said)

    async def archive() -> AsyncIterator[bytes]:
        for name, content in members.items():
            yield Member(name, content, kind="5" if name.endswith("/") else "0").encode()
        yield END

    target = ImageTarget(repository, "altered", {**said, **(annotations or {})}, architecture(), _CREATED, signing)
    _, pushed = await push_archive(archive, registry=access, target=target)
    return ImageRef(access.host, repository, digest=parse_digest(pushed.digest))


async def key_of(access: RegistryAccess, image: ImageRef) -> dict[str, str]:
    """The parts of an image's checkpoint key, as its annotations."""
    async with open_registry(access) as client:
        index = parse_index((await Manifests(client, image.repository).get(image.digest or "")).data)
    return key_of_annotations(index.annotations).annotations()
