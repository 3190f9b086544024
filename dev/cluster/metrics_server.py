"""metrics-server in the cluster: the real one, as a deployment behind the API server's aggregation layer.

On demand, since few tests ask for it, and a cluster whose aggregated API is away for a moment (its node restarts, say)
cannot finish deleting a namespace meanwhile. Unlike the manifests of the project, certificates are verified on both
ways: the API server's to us by a `caBundle`, ours to the kubelets by the cluster's CA, which signed theirs.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any

from dev.cluster import gobuild, oci
from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import say
from dev.cluster.errors import CommandError, NotReadyError
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.pki import Authority
from dev.cluster.push import Registry

NAME = "metrics-server"
NAMESPACE = "kube-system"
API = "v1beta1.metrics.k8s.io"
PORT = 10250
RESOLUTION_S = 10
"""The least that it takes: a rate needs two looks at a kubelet."""
READY_S = 120.0
MINE = {"app": NAME}


def ensure(cluster: ClusterInfo, cache: Cache) -> None:
    """Bring it up, and wait until it knows the use of every node. Only looks where it is up."""
    kubectl = Kubectl(cluster)
    reference = Registry(cluster.registries["open"].host, cluster.ca_file).push(
        NAME, oci.tag_of(image := _image(cache)), image
    )
    kubectl.apply(*_access(), _certificate(cluster), *_program(reference), _api_service(cluster))
    _wait_measured(kubectl, len(cluster.nodes))


def remove(cluster: ClusterInfo) -> None:
    """Take it out again, the API first: nothing must ask for it any more when it ends."""
    kubectl = Kubectl(cluster)
    kubectl("delete", "apiservice", API, "--ignore-not-found")
    kubectl(
        "delete",
        "deployment,service,secret,serviceaccount,rolebinding,clusterrolebinding,clusterrole",
        f"--namespace={NAMESPACE}",
        "--selector=" + ",".join(f"{key}={value}" for key, value in MINE.items()),
        timeout_s=60,
    )


def _image(cache: Cache) -> oci.Image:
    binary = gobuild.tool(cache, NAME)

    def make(folder: Path) -> None:
        root = folder / "root"
        root.mkdir(parents=True)
        shutil.copy2(binary, root / NAME)
        oci.build(folder, [oci.layer_tar(root)], {"Entrypoint": [f"/{NAME}"], "User": "1000:1000"})

    return oci.read(cache.get(f"image-{NAME}", key_of(binary.parent.name), make))


def _wait_measured(kubectl: Kubectl, nodes: int) -> None:
    say("waiting for metrics-server's first figures (half a minute)")
    deadline = time.monotonic() + READY_S
    told = ""
    while time.monotonic() < deadline:
        try:
            told = kubectl("get", "--raw", f"/apis/metrics.k8s.io/{API.partition('.')[0]}/nodes")
            if len(json.loads(told)["items"]) >= nodes:
                return
        except CommandError as error:
            told = str(error)
        time.sleep(1)
    standing = kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=wide")
    raise NotReadyError(f"metrics-server: not after {READY_S:.0f} s\n{told}\n{standing}")


def _access() -> list[dict[str, Any]]:
    """What its own manifests grant it, and `view` the metrics."""
    reader = _cluster_role("system:aggregated-metrics-reader", [_rule("metrics.k8s.io", ["pods", "nodes"])])
    reader["metadata"]["labels"] |= {
        f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")
    }
    own = _cluster_role(f"system:{NAME}", [_rule("", ["nodes/metrics"], ["get"]), _rule("", ["pods", "nodes"])])
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()},
        reader,
        own,
        _binding("ClusterRoleBinding", f"system:{NAME}", "ClusterRole", f"system:{NAME}"),
        _binding("ClusterRoleBinding", f"{NAME}:system:auth-delegator", "ClusterRole", "system:auth-delegator"),
        _binding("RoleBinding", f"{NAME}-auth-reader", "Role", "extension-apiserver-authentication-reader"),
    ]


def _program(reference: str) -> list[dict[str, Any]]:
    container = {
        "name": NAME,
        "image": reference,
        "args": [
            f"--secure-port={PORT}",
            "--tls-cert-file=/tls/tls.crt",
            "--tls-private-key-file=/tls/tls.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--metric-resolution={RESOLUTION_S}s",
            f"--kubelet-request-timeout={RESOLUTION_S // 2}s",
        ],
        "ports": [{"name": "https", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 2},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "runAsNonRoot": True},
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "tls", "secret": {"secretName": NAME, "defaultMode": 0o440}}],
    }
    template = {"metadata": {"labels": MINE}, "spec": pod}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta(),
            "spec": {"selector": MINE, "ports": [{"name": "https", "port": 443, "targetPort": "https"}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _meta(),
            "spec": {"selector": {"matchLabels": MINE}, "template": template},
        },
    ]


def _certificate(cluster: ClusterInfo) -> dict[str, Any]:
    authority = Authority(cluster.ca_file.parent)
    authority.issue(NAME, common_name=NAME, names=[f"{NAME}.{NAMESPACE}.svc"])
    files = {f"tls.{kind}": _base64(authority.folder / f"{NAME}.{kind}") for kind in ("crt", "key")}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": _meta(), "data": files}


def _api_service(cluster: ClusterInfo) -> dict[str, Any]:
    version, _, group = API.partition(".")
    spec = {
        "group": group,
        "version": version,
        "service": {"name": NAME, "namespace": NAMESPACE},
        "caBundle": _base64(cluster.ca_file),
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": _meta(API, ""), "spec": spec}


def _meta(name: str = NAME, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {"name": name, "labels": dict(MINE)} | ({"namespace": namespace} if namespace else {})


def _cluster_role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": _meta(name, ""), "rules": rules}


def _rule(group: str, resources: list[str], verbs: list[str] | None = None) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs or ["get", "list", "watch"]}


def _binding(kind: str, name: str, role_kind: str, role: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": _meta(name, NAMESPACE if kind == "RoleBinding" else ""),
        "roleRef": {"apiGroup": group, "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
