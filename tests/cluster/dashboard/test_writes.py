"""Objects changed through the dashboard: `_raw`, scale, namespaces, secrets, cron jobs; all as the caller."""

import base64
import json
import secrets
from collections.abc import Iterator

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.objects import Json, config_map, until, workload

pytestmark = pytest.mark.usefixtures("administrators_may_all")
RAW = "/_raw/{}/namespace/{}/name/{}"


async def test_an_edit_replaces_what_was_seen(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """What the editor took out is gone, and an edit of what somebody changed meanwhile is refused."""
    kubectl("-n", namespace, "create", "configmap", "one", "--from-literal=a=1", "--from-literal=b=2")
    path = RAW.format("configmap", namespace, "one")
    seen = await dashboard.ok(path)
    edited = {**seen, "data": {"a": "3"}}
    assert (await dashboard.call("PUT", path, edited)).status == 204
    assert (await dashboard.ok(path))["data"] == {"a": "3"}
    again = await dashboard.call("PUT", path, {**seen, "data": {"a": "4"}})
    assert (again.status, "has been modified" in again.text) == (409, True)
    assert (await dashboard.ok(path))["data"] == {"a": "3"}


async def test_a_body_without_a_version_is_a_patch(
    dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """A strategic one for Kubernetes' own kinds: containers are merged by name."""
    made = workload("Deployment", "web", cluster.images["pause"])
    made["metadata"]["namespace"] = namespace
    kubectl.apply(made)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}]}}}}
    assert (await dashboard.call("PUT", RAW.format("deployment", namespace, "web"), change)).status == 204
    container = kubectl.get(namespace, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == (cluster.images["pause"], [{"name": "A", "value": "1"}])


async def test_nothing_is_created_by_an_edit(dashboard: Dashboard, namespace: str) -> None:
    """Not even of a kind that the API server itself would make by a PUT."""
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "none"}}
    with_version = {**lease, "metadata": {"name": "none", "resourceVersion": "5"}}
    with_uid = {**lease, "metadata": {"name": "none", "resourceVersion": "5", "uid": "u"}}
    for body in (lease, with_version, with_uid):
        answer = await dashboard.call("PUT", RAW.format("lease", namespace, "none"), body)
        assert answer.status in {404, 409}, answer
        assert (await dashboard.get(RAW.format("lease", namespace, "none"))).status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "two"}}, "name"),
        ({"metadata": {"name": "one", "namespace": "default"}}, "namespace"),
        ({"kind": "Secret"}, "kind"),
        ({"apiVersion": "apps/v1"}, "group"),
        ({"apiVersion": "v7"}, "apiVersion"),
        ({"metadata": "x"}, "metadata"),
    ],
)
async def test_path_and_body_are_about_one_object(
    dashboard: Dashboard, namespace: str, change: Json, field: str
) -> None:
    answer = await dashboard.call("PUT", RAW.format("configmap", namespace, "one"), {**config_map("one"), **change})
    assert (answer.status, field in answer.text) == (400, True), answer


async def test_kinds_and_their_scope(dashboard: Dashboard, namespace: str) -> None:
    assert (await dashboard.get(RAW.format("unheardof", namespace, "x"))).status == 404
    assert (await dashboard.get(f"/_raw/node/namespace/{namespace}/name/node1")).status == 400
    assert (await dashboard.get("/_raw/pod/name/x")).status == 400
    assert (await dashboard.ok(f"/_raw/namespace/name/{namespace}"))["metadata"]["name"] == namespace
    events = await dashboard.get(RAW.format("event", namespace, "x"))  # the core group's, not events.k8s.io's
    assert (events.status, 'events "x" not found' in events.text) == (404, True)


async def test_a_name_cannot_lead_elsewhere(dashboard: Dashboard, namespace: str) -> None:
    """As a relative path it would be the namespace itself."""
    answer = await dashboard.call("DELETE", RAW.format("configmap", namespace, "%2e%2e"))
    assert answer.status in {400, 404, 405}, answer
    assert "deletionTimestamp" not in (await dashboard.ok(f"/_raw/namespace/name/{namespace}"))["metadata"]


async def test_deletion(dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> None:
    """Orphaned, what a deleted object owned stays."""
    made = workload("Deployment", "web", cluster.images["pause"])
    made["metadata"]["namespace"] = namespace
    kubectl.apply(made)
    path = RAW.format("deployment", namespace, "web")
    owned = await until("replica set", lambda: _names(kubectl, namespace, "replicaset"))
    for query in ({"propagation": "Sideways"}, {"deleteNow": "perhaps"}):
        assert (await dashboard.call("DELETE", path, query=query)).status == 400
    assert (await dashboard.call("DELETE", path, query={"propagation": "Orphan", "deleteNow": "true"})).status == 204
    await until("deployment gone", lambda: _is_gone(dashboard, path))
    assert await _names(kubectl, namespace, "replicaset") == owned
    assert (await dashboard.call("DELETE", path)).status == 404


async def test_scaling(dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> None:
    controller = workload("ReplicationController", "old", cluster.images["pause"], api_version="v1")
    made = [workload("StatefulSet", "set", cluster.images["pause"]), controller]
    for each in made:
        each["metadata"]["namespace"] = namespace
    kubectl.apply(*made)
    for kind, name in (("statefulset", "set"), ("replicationcontroller", "old")):
        path = f"/scale/{kind}/{namespace}/{name}"
        assert (await dashboard.ok(path))["desiredReplicas"] == 0
        answer = await dashboard.call("PUT", path, query={"scaleBy": 1})
        assert (answer.status, answer.body["desiredReplicas"]) == (200, 1), answer
        await until("pods", lambda path=path: _scaled(dashboard, path))  # type: ignore[misc]
    old = f"/replicationcontroller/{namespace}/old/update/pod"
    answer = await dashboard.call("POST", old, {"replicas": 0})
    assert (answer.status, answer.text) == (202, "")
    assert (await dashboard.ok(f"/scale/replicationcontroller/{namespace}/old"))["desiredReplicas"] == 0
    for wrong in ("x", "1.5", "-1", "99999999999"):
        answer = await dashboard.call("PUT", f"/scale/statefulset/{namespace}/set", query={"scaleBy": wrong})
        assert answer.status == 400, wrong
    assert (await dashboard.call("PUT", f"/scale/configmap/{namespace}/x", query={"scaleBy": 1})).status == 400


async def test_custom_resources(
    dashboard: Dashboard, kubectl: Kubectl, namespace: str, definition: tuple[str, str]
) -> None:
    """Made after the server knew the cluster's kinds; named `plural.group`; merge patch, scale, delete."""
    kind, resource = definition
    metadata = {"name": "one", "namespace": namespace}
    thing = {"apiVersion": f"{resource.partition('.')[2]}/v1", "kind": kind, "metadata": metadata}
    kubectl.apply({**thing, "spec": {"replicas": 2, "items": [1, 2]}})
    path = RAW.format(resource, namespace, "one")
    assert (await dashboard.ok(path))["spec"]["items"] == [1, 2]
    assert (await dashboard.ok(RAW.format(kind.lower(), namespace, "one")))["kind"] == kind
    assert (await dashboard.call("PUT", path, {"spec": {"items": [3]}})).status == 204
    assert (await dashboard.ok(path))["spec"] == {"replicas": 2, "items": [3]}
    answer = await dashboard.call("PUT", f"/scale/{resource}/{namespace}/one", query={"scaleBy": 7})
    assert answer.body == {"desiredReplicas": 7, "actualReplicas": 0}
    assert (await dashboard.call("DELETE", path)).status == 204


@pytest.mark.thorough
async def test_a_broken_aggregated_api_is_in_nobodys_way(
    dashboard: Dashboard, kubectl: Kubectl, namespace: str
) -> None:
    """Thorough since no namespace of the cluster can be removed while it is there."""
    name = "v1.broken.test.ksnap.dev"
    service = {"name": "none", "namespace": namespace}
    spec = {"group": name.partition(".")[2], "version": "v1", "service": service, "insecureSkipTLSVerify": True}
    spec |= {"groupPriorityMinimum": 1, "versionPriority": 1}
    metadata = {"name": name}
    kubectl.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec})
    try:
        unknown = await dashboard.get(RAW.format("unheardof", namespace, "x"))  # has all kinds read again
        assert (unknown.status, "no such kind" in unknown.text) == (404, True), unknown
        assert (await dashboard.ok(RAW.format("serviceaccount", namespace, "default")))["kind"] == "ServiceAccount"
    finally:
        kubectl("delete", "apiservice", name)


async def test_a_namespace_and_its_csrf_token(dashboard: Dashboard, kubectl: Kubectl) -> None:
    """Contract, check 10, on the real routes."""
    name = f"test-{secrets.token_hex(4)}"
    wrong = (await dashboard.ok("/csrftoken/secret"))["token"]
    try:
        for token in ("", wrong):
            answer = await dashboard.call("POST", "/namespace", {"name": name}, headers={"X-CSRF-TOKEN": token})
            assert (answer.status, answer.text) == (401, "MSG_CSRF_VALIDATION_ERROR")
        made = await dashboard.call("POST", "/namespace", {"name": name})
        assert (made.status, made.body) == (201, {"name": name})
        assert (await dashboard.call("POST", "/namespace", {"name": name})).status == 409
        assert (await dashboard.call("POST", "/namespace", {"name": "Not A Name"})).status == 422
    finally:
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


async def test_pull_secrets_of_both_forms(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    registry = {"r.example": {"auth": "dTpw"}}
    for name, content, form in (
        ("old", registry, "kubernetes.io/dockercfg"),
        ("new", {"auths": registry}, "kubernetes.io/dockerconfigjson"),
    ):
        data = base64.b64encode(json.dumps(content).encode()).decode()
        answer = await dashboard.call("POST", "/secret", {"name": name, "namespace": namespace, "data": data})
        assert (answer.status, answer.body["type"], "data" in answer.body) == (201, form, False), answer
        assert answer.body["objectMeta"]["name"] == name
        assert list(kubectl.get(namespace, "secret", name)["data"].values()) == [data]
    for data in ("%%%", base64.b64encode(b"[1]").decode()):
        assert (
            await dashboard.call("POST", "/secret", {"name": "x", "namespace": namespace, "data": data})
        ).status == 400


async def test_a_cron_job_runs_now(
    dashboard: Dashboard, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    name = "a-cron-job-with-a-name-of-forty-eight-characters"
    pod = {"restartPolicy": "Never", "containers": [{"name": "app", "image": cluster.images["pause"]}]}
    job = {"metadata": {"labels": {"l": "1"}}, "spec": {"suspend": True, "template": {"spec": pod}}}
    metadata = {"name": name, "namespace": namespace}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": job}
    kubectl.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})
    for _ in range(2):
        answer = await dashboard.call("PUT", f"/cronjob/{namespace}/{name}/trigger")
        assert (answer.status, answer.text) == (200, "")
    jobs = json.loads(kubectl("-n", namespace, "get", "jobs", "-o", "json"))["items"]
    assert len({each["metadata"]["name"] for each in jobs}) == 2
    made = jobs[0]["metadata"]
    assert made["name"].startswith(name[:41].rstrip("-") + "-manual-")
    assert made["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert (made["labels"]["l"], made["ownerReferences"][0]["name"]) == ("1", name)
    assert (await dashboard.call("PUT", f"/cronjob/{namespace}/none/trigger")).status == 404


async def test_writes_are_the_callers(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "create", "configmap", "one", "--from-literal=a=1")
    path = RAW.format("configmap", namespace, "one")
    with account(kubectl, namespace, rules=[rule("configmaps", "get", "patch")]) as token:
        limited = dashboard.as_token(token)
        assert (await limited.call("PUT", path, {"data": {"a": "2"}})).status == 204
        refused = await limited.call("DELETE", path)
        scaled = await limited.call("PUT", f"/scale/deployment/{namespace}/x", query={"scaleBy": 1})
    assert (refused.status, refused.text.startswith("forbidden: ")) == (403, True)
    assert scaled.status == 403
    assert (await dashboard.ok(path))["data"] == {"a": "2"}


@pytest.fixture
def definition(kubectl: Kubectl) -> Iterator[tuple[str, str]]:
    """A kind of its own for one test: its kind and its `plural.group`."""
    word = f"thing{secrets.token_hex(4)}"
    group = "test.ksnap.dev"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": word.capitalize(), "plural": f"{word}s", "singular": word}
    kubectl.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{word}s.{group}"},
            "spec": {
                "group": group,
                "names": names,
                "scope": "Namespaced",
                "versions": [{**version, "subresources": {"status": {}, "scale": scale}}],
            },
        }
    )
    kubectl("wait", "--for=condition=Established", f"crd/{word}s.{group}", "--timeout=20s")
    yield word.capitalize(), f"{word}s.{group}"
    kubectl("delete", "crd", f"{word}s.{group}", "--wait=false")


async def _names(kubectl: Kubectl, namespace: str, kind: str) -> list[str]:
    return sorted(kubectl("-n", namespace, "get", kind, "-o", "name").split())


async def _is_gone(dashboard: Dashboard, path: str) -> bool:
    return (await dashboard.get(path)).status == 404


async def _scaled(dashboard: Dashboard, path: str) -> bool:
    return bool((await dashboard.ok(path))["actualReplicas"] == 1)
