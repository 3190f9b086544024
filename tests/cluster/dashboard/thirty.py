"""Thirty objects of each kind that is no workload, some with all that their kind can have and some with little."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dev.cluster.kubectl import Kubectl

Json = dict[str, Any]
MANY = 30
RBAC = "rbac.authorization.k8s.io"
MARK = "example.dev/thirty"
_CLUSTER_KINDS = "ingressclass,persistentvolume,storageclass,clusterrole,clusterrolebinding"


@contextmanager
def thirty_of_each(kubectl: Kubectl, namespace: str, *, many: int = MANY) -> Iterator[str]:
    """All of them, or fewer; those without a namespace are named after it. They are gone when the block ends."""
    manifests = [each for number in range(many) for each in _manifests(namespace, number)]
    try:
        kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
        names = [f"{namespace}-{number:02}" for number in range(many)]
        bound, free = names[::3], [name for number, name in enumerate(names) if number % 3]
        _wait(kubectl, namespace, "Bound", [f"persistentvolumeclaim/{name}" for name in bound])
        _wait(kubectl, namespace, "Bound", [f"persistentvolume/{name}" for name in bound])
        _wait(kubectl, namespace, "Available", [f"persistentvolume/{name}" for name in free])
        yield namespace
    finally:
        kubectl("delete", _CLUSTER_KINDS, "--selector", f"{MARK}={namespace}", "--wait=false")


def _wait(kubectl: Kubectl, namespace: str, phase: str, objects: Sequence[str]) -> None:
    """A controller does it."""
    if objects:
        until = f"--for=jsonpath={{.status.phase}}={phase}"
        kubectl("-n", namespace, "wait", until, "--timeout=60s", *objects, timeout_s=70)


def _manifests(namespace: str, number: int) -> Sequence[Json]:
    name = f"{namespace}-{number:02}"
    made = [
        *_network(name, number),
        *_config(name, number),
        *_storage(name, number, namespace),
        *_access(name, number, namespace),
    ]
    for each in made:
        metadata = each.setdefault("metadata", {})
        metadata["name"] = name
        metadata["labels"] = {MARK: namespace, "number": str(number)}
        if number % 2:
            metadata["annotations"] = {"example.dev/number": str(number)}
        if each.pop("namespaced", True):
            metadata["namespace"] = namespace
    return made


def _network(name: str, number: int) -> list[Json]:
    service: Json = {"selector": {"app": name}, "ports": [{"port": 80 + number, "protocol": "TCP"}]}
    if number % 3 == 0:
        service |= {"type": "LoadBalancer", "externalIPs": [f"192.0.2.{number + 1}"], "sessionAffinity": "ClientIP"}
    if number % 3 == 1:
        service |= {"clusterIP": "None"}
    backend = {"service": {"name": name, "port": {"number": 80}}}
    rules = [{"host": f"{host}.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
             for host in ("a", "b", "a")[: number % 4]]  # fmt: skip
    ingress: Json = {"ingressClassName": name, "defaultBackend": backend} | ({"rules": rules} if rules else {})
    parameters = {"parameters": {"apiGroup": "example.dev", "kind": "Thing", "name": name}} if number % 2 else {}
    policy: Json = {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"]}
    if number % 2:
        policy |= {"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}
    group = "networking.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "Service", "spec": service},
        {"apiVersion": group, "kind": "Ingress", "spec": ingress},
        {
            "apiVersion": group,
            "kind": "IngressClass",
            "spec": {"controller": f"example.dev/c{number}", **parameters},
            "namespaced": False,
        },
        {"apiVersion": group, "kind": "NetworkPolicy", "spec": policy},
    ]


def _config(name: str, number: int) -> list[Json]:
    config: Json = {"data": {"name": name}, "binaryData": {"b": "AAEC"}} if number % 5 else {}
    secret = {"type": f"example.dev/t{number % 3}", "stringData": {"password": f"hidden-{name}"}}
    return [{"apiVersion": "v1", "kind": "ConfigMap", **config}, {"apiVersion": "v1", "kind": "Secret", **secret}]


def _storage(name: str, number: int, namespace: str) -> list[Json]:
    """A third of the claims is bound, the others' volumes are promised to nobody."""
    bound = number % 3 == 0
    room = {"storage": f"{number + 1}Mi"}
    volume: Json = {
        "capacity": room,
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": name,
        "hostPath": {"path": f"/nowhere/{name}"},
    }
    if bound:
        volume |= {"claimRef": {"namespace": namespace, "name": name}, "mountOptions": ["ro"]}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": room}}
    claim |= {"storageClassName": name if bound else f"{name}-other"}
    parameters = {"parameters": {"number": str(number)}} if number % 2 else {}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "spec": volume, "namespaced": False},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim},
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "provisioner": f"example.dev/p{number}",
            **parameters,
            "namespaced": False,
        },
    ]


def _access(name: str, number: int, namespace: str) -> list[Json]:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}] * (number % 3)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    subjects = {"subjects": [subject]} if number % 2 else {}
    made: list[Json] = [{"apiVersion": "v1", "kind": "ServiceAccount"}]
    for kind, namespaced in (("Role", True), ("ClusterRole", False)):
        common = {"apiVersion": f"{RBAC}/v1", "namespaced": namespaced}
        reference = {"apiGroup": RBAC, "kind": kind, "name": name}
        made += [
            {**common, "kind": kind, "rules": rules},
            {**common, "kind": f"{kind}Binding", "roleRef": reference, **subjects},
        ]
    return made
