"""Other people's tools and images: skopeo and crane accept what ksnap pushes,
and a pod whose own image is private is restored with its own pull secret."""

import json
import os
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.tools import tool
from dev.cluster.workloads import counter_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


@pytest.fixture
def docker_config(cluster: ClusterInfo, tmp_path: Path) -> Path:
    """The registry's account where both tools look for it; its authority is given by the environment."""
    registry = cluster.registries["private"]
    pair = b64encode(f"{registry.username}:{registry.password()}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": pair}}}))
    return tmp_path


def run_with(cluster: ClusterInfo, docker_config: Path, *command: str | Path) -> str:
    """What a tool printed that has the registries' account and authority."""
    environment = {
        **os.environ,
        "DOCKER_CONFIG": str(docker_config),
        "SSL_CERT_FILE": str(cluster.registries["private"].ca_file),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_skopeo_and_crane_accept_a_pushed_index(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, docker_config: Path
) -> None:
    kubectl.apply(counter_pod("count", namespace, cluster.images["counter"], node="node1"))
    kubectl.wait_ready(namespace, "count")
    frozen = await snap.freeze(namespace, "count")
    image, digest = await snap.image_of(frozen["checkpoint_id"])

    def run(*command: str | Path) -> str:
        return run_with(cluster, docker_config, *command)

    account = f"--authfile={docker_config / 'config.json'}"
    index = json.loads(run(tool("skopeo"), "inspect", "--raw", account, f"docker://{image}"))
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["annotations"]["org.criu.checkpoint.container.name"] == "counter"
    # In full it reads every layer as gzip; ours is zstd, which OCI allows.
    run(tool("crane"), "validate", "--fast", "--remote", image)
    assert run(tool("crane"), "digest", image).strip() == digest
    await snap.ok("DELETE", f"/checkpoint/{frozen['checkpoint_id']}")


async def test_a_private_image_is_pulled_with_the_pods_own_secret(
    snap: Snap, cluster: ClusterInfo, kubectl: Kubectl, namespace: str, docker_config: Path
) -> None:
    """Its node has never seen it, and ksnap's accounts are of no use there: the kubelet pulls as for a cold start."""
    private = f"{cluster.registries['private'].host}/{namespace}/counter:1"
    run_with(cluster, docker_config, tool("crane"), "copy", cluster.images["counter"], private)
    config = f"--from-file=.dockerconfigjson={docker_config / 'config.json'}"
    where = f"--namespace={namespace}"
    kubectl("create", "secret", "generic", "own", where, "--type=kubernetes.io/dockerconfigjson", config)
    pod = counter_pod("count", namespace, private, node="node1")
    pod["spec"]["imagePullSecrets"] = [{"name": "own"}]
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "count")
    frozen = await snap.freeze(namespace, "count")
    body = {"pod_name": "copy", "node_name": "node2", "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)
    assert result["restored"] is True
    copy = kubectl.get(namespace, "pod", "copy")
    assert copy["spec"]["containers"][0]["image"] == private
    assert copy["spec"]["imagePullSecrets"] == [{"name": "own"}]
