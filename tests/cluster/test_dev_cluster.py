"""The development cluster is a real one: pods, Services, logs, exec, freezing and restoring, registries."""

import base64
import http.client
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import oci, workloads
from dev.cluster.info import ClusterInfo, RegistryInfo, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.push import Registry

pytestmark = pytest.mark.timeout(240)

Pod = Callable[..., dict[str, Any]]


def test_nodes_are_described_as_they_are(cluster: ClusterInfo) -> None:
    for node in cluster.nodes:
        assert node_exec(node, ["hostname"]).strip() == node.name
        assert node_exec(node, ["containerd", "--version"]).split()[2] == node.containerd
        assert node.path("/etc/hostname").read_text().strip() == node.name
        assert node.path("/etc/criu").is_dir()


def test_a_pod_has_logs_exec_and_a_service(cluster: ClusterInfo, kubectl: Kubectl, namespace: str) -> None:
    image = cluster.images["webapp"]
    kubectl.apply(
        workloads.webapp_pod("web", namespace, image, node="node1", start_s=1),
        workloads.service("web", namespace),
        workloads.pair_pod("pair", namespace, image, node="node2", start_s=1),
    )
    kubectl.wait_ready(namespace, "web", "pair")

    assert '"event": "ready"' in kubectl("logs", f"--namespace={namespace}", "web")
    token = kubectl.fetch(namespace, "web")["token"]
    address = kubectl.get(namespace, "service", "web")["spec"]["clusterIP"]
    over_service = kubectl.exec(namespace, "pair", ["wget", "-q", "-O", "-", f"http://{address}/"], container="back")
    assert token in over_service
    fronts, backs = (kubectl.fetch(namespace, "pair", port=port) for port in workloads.PAIR_PORTS.values())
    assert fronts["token"] != backs["token"]


@pytest.fixture
def same_criu_settings(cluster: ClusterInfo) -> Iterator[None]:
    """An image frozen with `tcp-close` is restored only with it: let node2 have what somebody gave node1."""
    source, target = (cluster.node(name).path("/etc/criu/runc.conf") for name in ("node1", "node2"))
    before = target.read_text() if target.exists() else None
    if source.exists():
        shutil.copyfile(source, target)
    else:
        target.unlink(missing_ok=True)
    yield
    if before is None:
        target.unlink(missing_ok=True)
    else:
        target.write_text(before)


@pytest.mark.usefixtures("same_criu_settings")
@pytest.mark.parametrize("make_pod", [workloads.webapp_pod, workloads.user1000_pod])
def test_a_frozen_pod_is_restored_on_another_node(
    cluster: ClusterInfo, kubectl: Kubectl, namespace: str, tmp_path: Path, make_pod: Pod
) -> None:
    kubectl.apply(make_pod("web", namespace, cluster.images["webapp"], node="node1", start_s=2))
    kubectl.wait_ready(namespace, "web")
    before = kubectl.fetch(namespace, "web")

    archive = kubectl.checkpoint(namespace, "web", "webapp")
    try:
        checkpoint = _push_checkpoint(cluster, tmp_path, archive, namespace)
    finally:
        archive.unlink()
    kubectl.apply(make_pod("restored", namespace, checkpoint, node="node2", start_s=2))
    kubectl.wait_ready(namespace, "restored")

    after = kubectl.fetch(namespace, "restored")
    assert (after["token"], after["requests"]) == (before["token"], before["requests"] + 1)


def _push_checkpoint(cluster: ClusterInfo, folder: Path, archive: Path, repository: str) -> str:
    """The image that containerd 2.1 restores: an annotated index over one layer, which is the archive."""
    image = oci.build(folder, [archive.read_bytes()], {})
    index = oci.index(folder, image, {"org.criu.checkpoint.container.name": "webapp"})
    registry = Registry(cluster.registries["open"].host, cluster.ca_file)
    return registry.push_index(repository, "checkpoint", image, index)


def test_the_private_registry_wants_its_password(cluster: ClusterInfo) -> None:
    private = cluster.registries["private"]

    assert _status(private, password=None) == 401
    assert _status(private, password="wrong") == 401
    assert _status(private, password=private.password()) == 200
    assert _status(cluster.registries["open"], password=None) == 200


def _status(registry: RegistryInfo, *, password: str | None) -> int:
    context = ssl.create_default_context(cafile=str(registry.ca_file))
    connection = http.client.HTTPSConnection(registry.host, timeout=10, context=context)
    headers = {}
    if password is not None:
        pair = base64.b64encode(f"{registry.username}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    connection.request("GET", "/v2/", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_kubelet_shows_a_certificate_that_service_accounts_can_verify(
    cluster: ClusterInfo, kubectl: Kubectl, namespace: str
) -> None:
    authority = kubectl.get(namespace, "configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    context = ssl.create_default_context(cadata=authority)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"https://{cluster.nodes[0].address}:10250/pods", context=context, timeout=10)

    assert refused.value.code == 401
    refused.value.close()
