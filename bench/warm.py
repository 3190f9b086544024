"""A restore by ksnap-runc out of the agent's warm cache, against a bare `runc restore` of the same images.

    python -m bench.warm [--runs 8]

A container of the test's own is frozen on a node, its image pushed, signed, and unpacked there by the agent; then both
restore it into the same bundle, taking turns: ksnap-runc with everything that a pod's restore has (the agent is asked,
the image is checked against the container, the outcome is told), runc with nothing but CRIU.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.in_node import CONTAINER, NAMESPACE, POD
from bench.report import Series, Target, series_table, targets_table, write
from bench.wrapper import NODE, in_node
from dev.cluster.info import ClusterInfo, load, node_exec
from dev.cluster.kubectl import Kubectl
from dev.stack import agents
from dev.stack.pods import Pods
from ksnap.agent.publish import push_archive
from ksnap.agent.transfer import architecture
from ksnap.model.digest import parse_digest
from ksnap.model.image import ImageRef
from ksnap.node.protocol import ImageState
from ksnap.registry.image_push import ImageTarget
from tests.cluster.wishes import IMAGES, Wishes, registry_access
from tests.parties.archives import BLOCK, END, Member, documents, header
from tests.parties.checkpoint_keys import new_key, signing_by

BOUND = 1.2
SIZES_MIB = (64, 1024)
_PIECE = 1 << 20


def measure(runs: int) -> list[tuple[int, Series, Series]]:
    """Memory in MiB, ours, bare; for each size."""
    cluster = load()
    agents.install(cluster)
    pods = Pods(cluster, NAMESPACE)
    # The agent tells the outcomes to a pod that there is not, in a namespace that there is.
    pods.make_namespace()
    try:
        return [(mib, *_size(cluster, mib, runs)) for mib in SIZES_MIB]
    finally:
        pods.remove_namespace()


def _size(cluster: ClusterInfo, mib: int, runs: int) -> tuple[Series, Series]:
    node = cluster.nodes[NODE]
    bundle = f"/var/lib/containerd/ksnap-bench-{secrets.token_hex(4)}"
    try:
        in_node(cluster, "freeze", bundle, str(mib))
        image = asyncio.run(_cached(cluster, node.path(bundle)))
        checkpoint = f"{IMAGES}/{(image.digest or '').replace(':', '-')}/checkpoint"
        found = in_node(cluster, "restore", bundle, str(image), checkpoint, str(runs))
        asyncio.run(_dropped(cluster, image))
    finally:
        node_exec(node, ["umount", f"{bundle}/rootfs"], check=False)
        shutil.rmtree(node.path(bundle), ignore_errors=True)
    ours = Series(f"ksnap-runc, {mib} MiB", "s", found["ksnap-runc"])
    return ours, Series(f"runc restore, {mib} MiB", "s", found["runc restore"])


async def _cached(cluster: ClusterInfo, bundle: Path) -> ImageRef:
    """The frozen container as a signed image, unpacked on the node."""
    access, key = registry_access(cluster, "private"), new_key()
    signing = signing_by(key)
    repository = f"bench/warm-{secrets.token_hex(4)}"
    target = ImageTarget(repository, "bench", signing.annotations, architecture(), datetime.now(UTC), signing)

    async def archive() -> AsyncIterator[bytes]:
        for chunk in _archive(bundle):
            yield chunk

    _, pushed = await push_archive(archive, registry=access, target=target)
    image = ImageRef(access.host, repository, digest=parse_digest(pushed.digest))
    wishes = Wishes(cluster, Kubectl(cluster), cluster.nodes[NODE].name)
    state = await wishes.prefetched(image, access, NAMESPACE, POD, public_keys=key.public_key.pem)
    if not isinstance(state, ImageState):
        raise state
    return image


async def _dropped(cluster: ClusterInfo, image: ImageRef) -> None:
    async with Wishes(cluster, Kubectl(cluster), cluster.nodes[NODE].name).agent() as agent:
        await agent.drop_image(image.digest or "")


def _archive(bundle: Path) -> Iterator[bytes]:
    """As containerd lays one out: its own documents, this container's configuration, CRIU's images."""
    spec = (bundle / "spec.json").read_bytes()
    for member in documents(container=CONTAINER, pod=POD, namespace=NAMESPACE):
        yield (Member(member.name, spec) if member.name == "spec.dump" else member).encode()
    yield Member("checkpoint/", kind="5").encode()
    for path in sorted((bundle / "images").iterdir()):
        size = path.stat().st_size
        yield header(f"checkpoint/{path.name}", size)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield bytes(-size % BLOCK)
    yield END


def report(found: list[tuple[int, Series, Series]]) -> None:
    targets = [
        Target(f"restore from a warm cache / bare runc restore, {mib} MiB", ours.median / bare.median, BOUND)
        for mib, ours, bare in found
    ]
    series = [each for _, ours, bare in found for each in (ours, bare)]
    path = write("warm", series=series, targets=targets, about={"runs": len(series[0].values)})
    for _, ours, bare in found:
        print(f"\n{series_table([ours, bare], reference=bare)}")
    print(f"\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="A restore from a warm cache, against a bare runc restore")
    parser.add_argument("--runs", type=int, default=8)
    report(measure(parser.parse_args().runs))


if __name__ == "__main__":
    main()
