"""A node's kubelet, otherwise than the cluster made it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl


@contextmanager
def without_checkpoints(cluster: ClusterInfo, kubectl: Kubectl, node: str) -> Iterator[None]:
    """The node's kubelet as one that has the feature switched off."""
    config = cluster.node(node).path("/etc/kubernetes/kubelet.json")
    text = config.read_text()
    config.write_text(json.dumps({**json.loads(text), "featureGates": {"ContainerCheckpoint": False}}))
    try:
        kubectl.restart_kubelet(node)
        yield
    finally:
        config.write_text(text)
        kubectl.restart_kubelet(node)
