"""An image that ksnap's pipeline pushed, used without ksnap: a pod made by hand is restored by containerd itself.

A token made in memory at start tells a restored container from a cold start; its pod runs on the other node.
"""

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from dev.cluster import workloads
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.tools import tool
from ksnap.agent.publish import push_archive
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget, undo_push
from ksnap.registry.image_read import open_archive

pytestmark = pytest.mark.timeout(180)


def access(cluster: ClusterInfo, name: str) -> RegistryAccess:
    registry = cluster.registries[name]
    return RegistryAccess(
        host=registry.host,
        username=registry.username,
        password=SecretStr(registry.password()),
        ca_cert=registry.ca_file.read_text(),
    )


def push(
    cluster: ClusterInfo, archive: Path, repository: str, *, registry: str = "open"
) -> tuple[ArchiveFacts, PushedImage]:
    target = ImageTarget(repository, "frozen", {"ksnap.dev/key": "by hand"}, "amd64", datetime.now(UTC))
    return asyncio.run(push_archive(archive, registry=access(cluster, registry), target=target))


@pytest.fixture
def archive(cluster: ClusterInfo, kubectl: Kubectl, namespace: str) -> Iterator[Path]:
    """The web app on node1, frozen by the kubelet."""
    kubectl.apply(workloads.webapp_pod("webapp", namespace, cluster.images["webapp"], node="node1", start_s=2))
    kubectl.wait_ready(namespace, "webapp")
    path = kubectl.checkpoint(namespace, "webapp", "webapp")
    yield path
    path.unlink()


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_pod_made_by_hand_is_restored_on_the_other_node(
    cluster: ClusterInfo, kubectl: Kubectl, namespace: str, archive: Path, by: str
) -> None:
    repository = f"by-hand/{secrets.token_hex(4)}"
    _, image = push(cluster, archive, repository)
    reference = f"{image.host}/{repository}" + (":frozen" if by == "tag" else f"@{image.digest}")
    kubectl.apply(workloads.webapp_pod("restored", namespace, reference, node="node2", start_s=60))
    kubectl.wait_ready(namespace, "restored", timeout_s=40)

    before, after = kubectl.fetch(namespace, "webapp"), kubectl.fetch(namespace, "restored")
    assert after["token"] == before["token"]
    status = kubectl.get(namespace, "pod", "restored")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0
    assert repository not in status["image"] + status["imageID"], "containerd runs the base image again"
    container = status["containerID"].removeprefix("containerd://")
    said = (cluster.node("node2").log / "containerd.log").read_text(errors="replace")
    assert f"Restored container {container} successfully" in said, "the runtime's own word on it"


def test_other_tools_accept_image_and_archive(cluster: ClusterInfo, archive: Path, tmp_path: Path) -> None:
    repository = f"by-hand/{secrets.token_hex(4)}"
    facts, image = push(cluster, archive, repository)
    reference = f"{image.host}/{repository}@{image.digest}"
    trust = {"SSL_CERT_FILE": str(cluster.registries["open"].ca_file), "PATH": os.environ["PATH"]}
    # Without --fast crane 0.22 reads layers as gzip, whatever their media type (its pkg/v1/validate/layer.go).
    assert "PASS" in run([tool("crane"), "validate", "--fast", "--remote", reference], trust)
    manifest = json.loads(run([tool("crane"), "manifest", reference], trust))
    assert manifest["annotations"]["org.criu.checkpoint.container.name"] == "webapp"

    copy = tmp_path / "checkpoint.tar"
    asyncio.run(download(access(cluster, "open"), repository, facts.compressed_digest, copy))
    for checkpointctl in ("checkpointctl", "checkpointctl-debian"):
        shown = run([tool(checkpointctl), "show", str(copy)])
        assert "webapp" in shown
        assert "containerd" in shown
        assert "webapp" in run([tool(checkpointctl), "inspect", str(copy)])


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def download(registry: RegistryAccess, repository: str, layer: str, to: Path) -> None:
    async with open_registry(registry) as client, open_archive(client, repository, layer) as chunks:
        with to.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)


def test_the_archive_comes_back_byte_for_byte_and_the_image_can_be_undone(
    cluster: ClusterInfo, archive: Path, tmp_path: Path
) -> None:
    repository = f"by-hand/{secrets.token_hex(4)}"
    facts, image = push(cluster, archive, repository, registry="private")
    copy = tmp_path / "copy.tar"

    async def download_and_undo() -> None:
        await download(access(cluster, "private"), repository, facts.compressed_digest, copy)
        async with open_registry(access(cluster, "private")) as client:
            await undo_push(client, repository, blobs=image.blobs, manifests=[image.manifest_digest, image.digest])

    asyncio.run(download_and_undo())
    assert copy.stat().st_size == facts.size_bytes
    listed = subprocess.run(
        ["tar", "--list", "--file", copy], capture_output=True, text=True, check=True
    ).stdout.split()
    original = subprocess.run(
        ["tar", "--list", "--file", archive], capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed == [name for name in original if name != "container.log"]
    assert facts.annotations["org.criu.checkpoint.container.name"] == "webapp"
    assert facts.annotations["org.criu.checkpoint.engine.name"] == "containerd"
    assert facts.annotations["org.criu.checkpoint.rootfsImageID"] == cluster.images["webapp"]
