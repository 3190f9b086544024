"""Pods that are worth freezing, as manifests. Tests, demo and benchmarks create these and no others.

Each function takes the image's reference from `ClusterInfo.images`, so that nothing here knows a registry. A
readiness probe asks over HTTP every second: its connection, open at the very moment of a dump, may fail that dump, as
in any cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

WEBAPP_PORT = 8080
PAIR_PORTS = {"front": 8080, "back": 8081}


def counter_pod(name: str, namespace: str, image: str, *, node: str | None = None) -> Manifest:
    """One container, `counter`, that counts aloud once a second; ready at once."""
    return _pod(name, namespace, [{"name": "counter", "image": image}], node=node)


def webapp_pod(
    name: str,
    namespace: str,
    image: str,
    *,
    node: str | None = None,
    memory_mb: int = 64,
    start_s: float = 8,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """One container, `webapp`, that takes `start_s` to become ready and then holds `memory_mb` and a token."""
    containers = [webapp_container("webapp", image, memory_mb=memory_mb, start_s=start_s)]
    return _pod(name, namespace, containers, node=node, labels=labels, annotations=annotations)


def user1000_pod(
    name: str,
    namespace: str,
    image: str,
    *,
    node: str | None = None,
    memory_mb: int = 64,
    start_s: float = 8,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """The web app as most clusters want it: not root, no capabilities, no way to become more."""
    container = webapp_container("webapp", image, memory_mb=memory_mb, start_s=start_s)
    container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = _pod(name, namespace, [container], node=node, labels=labels)
    pod["spec"]["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True}
    return pod


def pair_pod(
    name: str,
    namespace: str,
    image: str,
    *,
    node: str | None = None,
    memory_mb: int = 32,
    start_s: float = 4,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """Two containers, `front` and `back`, each with a token of its own."""
    containers = [
        webapp_container(container, image, port=port, memory_mb=memory_mb, start_s=start_s)
        for container, port in PAIR_PORTS.items()
    ]
    return _pod(name, namespace, containers, node=node, labels=labels)


def webapp_deployment(
    name: str,
    namespace: str,
    image: str,
    *,
    replicas: int = 1,
    memory_mb: int = 64,
    start_s: float = 8,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """The web app with an owner, whose pods come and go; `labels` are the pods'."""
    template = webapp_pod(name, namespace, image, memory_mb=memory_mb, start_s=start_s, labels=labels)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
        },
    }


def service(name: str, namespace: str, *, port: int = 80, target: int = WEBAPP_PORT) -> Manifest:
    """A Service in front of the pods whose label `app` is its name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]},
    }


def webapp_container(
    name: str, image: str, *, port: int = WEBAPP_PORT, memory_mb: int = 64, start_s: float = 8
) -> Manifest:
    """The web app as a container, for pods that are put together elsewhere."""
    env = {"PORT": str(port), "MEMORY_MB": str(memory_mb), "START_S": str(start_s)}
    return {
        "name": name,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1, "timeoutSeconds": 2},
    }


def _pod(
    name: str,
    namespace: str,
    containers: list[Manifest],
    *,
    node: str | None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    spec: Manifest = {
        "containers": containers,
        "terminationGracePeriodSeconds": 2,
        # The cluster has no DNS service; asking for it would raise an event per pod.
        "dnsPolicy": "Default",
    }
    if node is not None:
        # A selector rather than nodeName, so that the scheduler and its admission stay in the game.
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    metadata: Manifest = {"name": name, "namespace": namespace, "labels": {"app": name, **(labels or {})}}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
