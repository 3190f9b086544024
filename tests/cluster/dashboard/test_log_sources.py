"""Where the logs of a workload come from (dashboard contract, section 11.4), of every kind that makes pods."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.log_pods import FOREVER, container, pod, until, workload
from tests.cluster.namespaces import own_namespace

GROUP = "ksnap-log-sources.test"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"fleets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}


@pytest.fixture(scope="module")
def workloads(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with one of each, and pods beside them that have the same labels and no owner."""
    with own_namespace(kubectl) as name:
        template = pod("", name, container(cluster, FOREVER), init=container(cluster, "true", name="init"))
        once = pod("", name, container(cluster, "true"), restartPolicy="Never")
        job = {"template": {"spec": once["spec"]}}
        stray = pod("stray", name, container(cluster, FOREVER))
        stray["metadata"]["labels"] = {"app": "deploy"}
        kubectl.apply(
            stray,
            workload("Deployment", "deploy", name, template, replicas=2),
            workload("DaemonSet", "daemon", name, template),
            workload("StatefulSet", "state", name, template, serviceName="state"),
            workload("ReplicaSet", "set", name, template),
            {**workload("ReplicationController", "old", name, template, api="v1", selector={"app": "old"})},
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": name}, "spec": job},
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": "cron", "namespace": name},
                "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}},
            },
        )
        kubectl("-n", name, "create", "job", "from-cron", "--from=cronjob/cron")
        counts = {"app=deploy": 3, "app=daemon": 2, "app=state": 1, "app=set": 1, "app=old": 1}
        until(lambda: all(_count(kubectl, name, label) == count for label, count in counts.items()))
        until(lambda: _count(kubectl, name, "job-name=job") == _count(kubectl, name, "job-name=from-cron") == 1)
        yield name


def _count(kubectl: Kubectl, namespace: str, label: str) -> int:
    return len(kubectl("-n", namespace, "get", "pods", "-l", label, "-o", "name").split())


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, workloads: str) -> Iterator[str]:
    with account(kubectl, workloads, rules=[ALL]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


@pytest.mark.parametrize(
    ("name", "kind", "pods"),
    [
        ("deploy", "deployment", 2),
        ("deploy", "Deployment", 2),
        ("daemon", "DaemonSet", 2),
        ("state", "statefulset", 1),
        ("set", "replicaSet", 1),
        ("old", "ReplicationController", 1),
    ],
)
async def test_of_what_keeps_pods_running(reader: Dashboard, workloads: str, name: str, kind: str, pods: int) -> None:
    found = await reader.ok(f"/log/source/{workloads}/{name}/{kind}")
    assert (found["containerNames"], found["initContainerNames"]) == (["app"], ["init"])
    assert len(found["podNames"]) == pods
    assert all(each.startswith(f"{name}-") for each in found["podNames"])


@pytest.mark.parametrize(("name", "kind", "prefix"), [("job", "Job", "job-"), ("cron", "cronjob", "from-cron-")])
async def test_of_what_ends(reader: Dashboard, workloads: str, name: str, kind: str, prefix: str) -> None:
    found = await reader.ok(f"/log/source/{workloads}/{name}/{kind}")
    assert (found["containerNames"], found["initContainerNames"]) == (["app"], [])
    assert [each.startswith(prefix) for each in found["podNames"]] == [True]


async def test_of_a_pod(reader: Dashboard, workloads: str) -> None:
    expected = {"containerNames": ["app"], "initContainerNames": [], "podNames": ["stray"]}
    assert await reader.ok(f"/log/source/{workloads}/stray/pod") == expected


async def test_of_an_owner_that_only_the_cluster_knows(
    reader: Dashboard, kubectl: Kubectl, workloads: str, cluster: ClusterInfo
) -> None:
    """Its pods belong to a ReplicaSet, which belongs to it."""
    kubectl.apply(CRD)
    try:
        kubectl("wait", "--for=condition=Established", f"crd/fleets.{GROUP}", "--timeout=30s")
        kubectl.apply({"apiVersion": f"{GROUP}/v1", "kind": "Fleet", "metadata": {"name": "f", "namespace": workloads}})
        uid = kubectl.get(workloads, "fleet", "f")["metadata"]["uid"]
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Fleet", "name": "f", "uid": uid, "controller": True}
        ships = workload("ReplicaSet", "ships", workloads, pod("", workloads, container(cluster, FOREVER)))
        ships["metadata"]["ownerReferences"] = [owner]
        kubectl.apply(ships)
        until(lambda: kubectl("-n", workloads, "get", "pods", "-l", "app=ships", "-o", "name"))
        for kind in ("Fleet", f"fleets.{GROUP}"):
            found: Any = await reader.ok(f"/log/source/{workloads}/f/{kind}")
            assert (found["containerNames"], len(found["podNames"])) == (["app"], 1)
            assert found["podNames"][0].startswith("ships-")
    finally:
        kubectl("delete", "crd", f"fleets.{GROUP}", "--wait=false")


async def test_of_nothing(reader: Dashboard, kubectl: Kubectl, workloads: str) -> None:
    assert (await reader.get(f"/log/source/{workloads}/none/deployment")).status == 404
    assert (await reader.get(f"/log/source/{workloads}/none/pod")).status == 404
    unknown = await reader.get(f"/log/source/{workloads}/x/unheard-of")
    assert (unknown.status, "deployment" in unknown.text) == (400, True), unknown
    with account(kubectl, workloads, rules=[rule("deployments", "get", group="apps")]) as token:
        answer = await reader.as_token(token).get(f"/log/source/{workloads}/deploy/deployment")
    assert answer.status == 403
