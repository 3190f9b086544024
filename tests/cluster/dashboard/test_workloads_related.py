"""What belongs to workloads: owners, pods, services, events, replica sets, jobs, autoscalers, variables."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import READ_ALL, Dashboard, account, rule
from tests.cluster.dashboard.workload_objects import NEVER
from tests.cluster.namespaces import own_namespace

# The first test of a module waits for what all of them look at.
pytestmark = pytest.mark.timeout(180)

Json = dict[str, Any]
ZEROS = {"running": 0, "pending": 0, "failed": 0, "succeeded": 0}
FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def shop(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    """A namespace with a Deployment that is stuck in the middle of a rollout, and what there is around it."""
    with own_namespace(kubectl) as namespace:
        pause = cluster.images["pause"]
        kubectl("-n", namespace, "create", "configmap", "stack", "--from-literal=mode=fast")
        kubectl("-n", namespace, "create", "secret", "generic", "password", "--from-literal=it=s3cret")
        stack = kubectl.get(namespace, "configmap", "stack")["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "stack", "uid": stack}
        kubectl("-n", namespace, "create", "--filename=-", stdin=_listed(_web(pause, owner), *_others(pause)))
        kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s", timeout_s=70)
        for cron_job in ("busy", "idle"):
            kubectl("-n", namespace, "create", "job", f"{cron_job}-1", f"--from=cronjob/{cron_job}")
        kubectl("-n", namespace, "set", "image", "deployment/web", "main=nowhere.invalid/x")
        kubectl("-n", namespace, "wait", "deployment/web", "--for=jsonpath={.status.updatedReplicas}=1",
                "--timeout=60s", timeout_s=70)  # fmt: skip
        kubectl("-n", namespace, "wait", "job/busy-1", "--for=jsonpath={.status.active}=1", "--timeout=60s",
                timeout_s=70)  # fmt: skip
        yield namespace


def _listed(*manifests: Json) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def _web(image: str, owner: Json) -> Json:
    labels = {"app": "web", "tier": "front"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "ownerReferences": [owner]},
        "spec": {
            "replicas": 1,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(image)},
        },
    }


def _pod_spec(image: str, **more: Any) -> Json:
    return {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}], **more}


def _others(image: str) -> list[Json]:
    rollout = {"apiVersion": "example.dev/v1", "kind": "Rollout", "name": "r", "uid": "0", "controller": True}
    waits = {"schedulerName": "nobody"}
    return [
        _service("web", {"app": "web"}),
        _service("front", {"tier": "front"}),
        _service("other", {"app": "web", "tier": "back"}),
        _service("none", None),
        _cron_job("busy", {"template": {"spec": _pod_spec(image, restartPolicy="Never", **waits)}}),
        _cron_job("idle", {"suspend": True, "template": {"spec": _pod_spec(image, restartPolicy="Never")}}),
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim"},
            "spec": {
                "storageClassName": "none",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        },
        _custom_pod(image, rollout),
    ]


def _service(name: str, selector: Json | None) -> Json:
    spec = {"ports": [{"port": 80}], **({"selector": selector} if selector else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _cron_job(name: str, job: Json) -> Json:
    spec = {"schedule": NEVER, "suspend": True, "jobTemplate": {"spec": job}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def _custom_pod(image: str, owner: Json) -> Json:
    """It waits for ever, so that nothing about it changes."""
    env = [
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "stack", "key": "mode"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "password", "key": "it"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    container = {
        "name": "main",
        "image": image,
        "env": env,
        "envFrom": [{"prefix": "ALL_", "secretRef": {"name": "password"}}],
        "resources": {"limits": {"memory": "16Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "late", "persistentVolumeClaim": {"claimName": "not-yet"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "custom", "ownerReferences": [owner]},
        "spec": {
            "schedulerName": "nobody",
            "containers": [container, {"name": "side", "image": image}],
            "initContainers": [{"name": "init", "image": image}],
            "volumes": volumes,
        },
    }


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, shop: str) -> Iterator[str]:
    with account(kubectl, shop, cluster_rules=[READ_ALL]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    """One who may see everything."""
    return dashboard.as_token(token)


async def fresh(reader: Dashboard, path: str) -> Any:
    """What there is now, whatever the caches have heard of."""
    answer = await reader.call("GET", path, headers=FRESH)
    assert answer.status == 200, answer
    return answer.body


def names(rows: list[Json]) -> list[str]:
    return sorted(each["objectMeta"]["name"] for each in rows)


async def _sets(reader: Dashboard, shop: str) -> tuple[Json, Json]:
    """The Deployment's new and its old ReplicaSet."""
    new = await fresh(reader, f"/deployment/{shop}/web/newreplicaset")
    old = await fresh(reader, f"/deployment/{shop}/web/oldreplicaset")
    assert old["listMeta"] == {"totalItems": 1}
    assert old["status"] == ZEROS
    return new, old["replicaSets"][0]


async def test_new_and_old_replica_sets(reader: Dashboard, shop: str) -> None:
    new, old = await _sets(reader, shop)
    assert new["containerImages"] == ["nowhere.invalid/x"]
    assert new["objectMeta"]["ownerReferences"] == [{"kind": "Deployment", "name": "web"}]
    assert (new["podInfo"]["desired"], new["podInfo"]["pending"]) == (1, 1)
    assert (old["podInfo"]["desired"], old["podInfo"]["running"]) == (1, 1)
    assert old["objectMeta"]["uid"] != new["objectMeta"]["uid"]


async def test_selection_leaves_the_new_replica_set_alone(reader: Dashboard, shop: str) -> None:
    """The original fell over when nothing was left of it."""
    new = await reader.ok(f"/deployment/{shop}/web/newreplicaset", filterBy="name,nothing-like-it", page=9)
    assert new["objectMeta"]["name"].startswith("web-")
    old = await reader.ok(f"/deployment/{shop}/web/oldreplicaset", filterBy="name,nothing-like-it")
    assert old["replicaSets"] == []


async def test_pods_and_services_of_a_replica_set(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    for replica_set in await _sets(reader, shop):
        name = replica_set["objectMeta"]["name"]
        pods = await fresh(reader, f"/replicaset/{shop}/{name}/pod")
        assert [each["objectMeta"]["ownerReferences"] for each in pods["pods"]] == [
            [{"kind": "ReplicaSet", "name": name}]
        ]
        assert (pods["status"], pods["cumulativeMetrics"]) == (ZEROS, [])
        services = await fresh(reader, f"/replicaset/{shop}/{name}/service")
        assert names(services["services"]) == ["front", "web"]


async def test_a_pods_owners_up_to_the_root(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    _, old = await _sets(reader, shop)
    pods = await reader.ok(f"/replicaset/{shop}/{old['objectMeta']['name']}/pod")
    detail = await fresh(reader, f"/pod/{shop}/{pods['pods'][0]['objectMeta']['name']}")
    chain = [(each["kind"], each["name"], each["apiVersion"], each["namespace"]) for each in detail["ownerChain"]]
    set_name = old["objectMeta"]["name"]
    assert chain == [
        ("ReplicaSet", set_name, "apps/v1", shop),
        ("Deployment", "web", "apps/v1", shop),
        ("ConfigMap", "stack", "v1", shop),
    ]
    assert detail["controller"] == {
        "objectMeta": old["objectMeta"],
        "typeMeta": {"kind": "replicaset", "scalable": True},
        "pods": old["podInfo"],
        "containerImages": old["containerImages"],
        "initContainerImages": [],
    }
    assert (detail["podPhase"], detail["containers"][0]["state"], detail["errors"]) == ("Running", "Running", [])
    assert "Scheduled" in {each["reason"] for each in detail["eventList"]["events"]}
    web = await reader.ok(f"/deployment/{shop}/web")
    assert [each["kind"] for each in web["ownerChain"]] == ["ConfigMap"]


async def test_a_pod_that_an_unknown_kind_owns(reader: Dashboard, shop: str) -> None:
    detail = await fresh(reader, f"/pod/{shop}/custom")
    rollout = {"kind": "Rollout", "name": "r", "apiVersion": "example.dev/v1", "uid": "0"}
    assert detail["ownerChain"] == [rollout]
    assert detail["controller"]["typeMeta"] == {"kind": "rollout"}
    assert detail["controller"]["objectMeta"]["name"] == "r"
    assert detail["controller"]["pods"] == {**ZEROS, "current": 1, "pending": 1, "warnings": []}
    assert detail["errors"] == []


async def test_a_pods_variables_and_their_secrets(reader: Dashboard, shop: str) -> None:
    secret = base64.b64encode(b"s3cret").decode()
    for query, shown in (({}, ""), ({"showSecrets": "false"}, ""), ({"showSecrets": "true"}, secret)):
        answer = await reader.get(f"/pod/{shop}/custom", **query)
        variables = {each["name"]: each for each in answer.body["containers"][0]["env"]}
        values = {name: each["value"] for name, each in variables.items()}
        assert values == {"MODE": "fast", "PASSWORD": shown, "NAME": "custom", "LIMIT": "16", "ALL_it": shown}
        assert (secret in answer.text) is bool(shown)
        assert variables["ALL_it"]["valueFrom"] == {"secretKeyRef": {"name": "password", "key": "it"}}


async def test_a_pods_containers_and_claims(reader: Dashboard, shop: str) -> None:
    assert await reader.ok(f"/pod/{shop}/custom/container") == {"containers": ["main", "side"]}
    claims = await fresh(reader, f"/pod/{shop}/custom/persistentvolumeclaim")
    assert names(claims["items"]) == ["claim"]
    detail = await reader.ok(f"/pod/{shop}/custom")
    assert detail["persistentVolumeClaimList"] == claims
    assert detail["containers"][0]["volumeMounts"][0]["volume"]["persistentVolumeClaim"] == {"claimName": "claim"}


async def test_events_are_of_the_object_alone(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    """A pod, a service and a deployment may have one name."""
    told = await fresh(reader, f"/deployment/{shop}/web/event")
    assert told["events"]
    assert {each["objectKind"] for each in told["events"]} == {"Deployment"}
    assert {each["reason"] for each in told["events"]} == {"ScalingReplicaSet"}
    assert (await reader.ok(f"/service/{shop}/web/event"))["events"] == []


async def test_a_cron_jobs_jobs(reader: Dashboard, shop: str) -> None:
    for query, expected in ((("", ""), ("busy-1", "")), (("active", "true"), ("busy-1", ""))):
        options = {query[0]: query[1]} if query[0] else {}
        for name, job in zip(("busy", "idle"), expected, strict=True):
            found = await reader.call("GET", f"/cronjob/{shop}/{name}/job", headers=FRESH, query=options)
            assert names(found.body["jobs"]) == ([job] if job else [])
            assert found.body["status"] == ZEROS
    assert names((await reader.ok(f"/cronjob/{shop}/idle/job", active="false"))["jobs"]) == ["idle-1"]
    assert (await reader.ok(f"/cronjob/{shop}/busy/job", active="false"))["jobs"] == []
    assert (await reader.get(f"/cronjob/{shop}/busy/job", active="maybe")).status == 400
    job = await reader.ok(f"/job/{shop}/busy-1")
    assert [(each["kind"], each["name"]) for each in job["ownerChain"]] == [("CronJob", "busy")]
    assert len((await fresh(reader, f"/job/{shop}/busy-1/pod"))["pods"]) == 1


async def test_a_ring_of_owners_ends(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    """Kubernetes lets objects own each other."""
    maps = []
    for name in ("ring-a", "ring-b"):
        kubectl("-n", shop, "create", "configmap", name)
        maps.append(kubectl.get(shop, "configmap", name)["metadata"])
    for one, other in (maps, reversed(maps)):
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": other["name"], "uid": other["uid"]}
        patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
        kubectl("-n", shop, "patch", "configmap", one["name"], "--patch", patch)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ring-a", "uid": maps[0]["uid"]}
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "none"}}}
    metadata = {"name": "ring", "namespace": shop, "ownerReferences": [owner]}
    kubectl.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec})
    chain = (await reader.ok(f"/poddisruptionbudget/{shop}/ring"))["ownerChain"]
    assert [each["name"] for each in chain] == ["ring-a", "ring-b"]


async def test_what_a_caller_may_not_see_beside_the_object(
    dashboard: Dashboard, reader: Dashboard, kubectl: Kubectl, shop: str
) -> None:
    new, _ = await _sets(reader, shop)
    name = new["objectMeta"]["name"]
    pod = (await reader.ok(f"/replicaset/{shop}/{name}/pod"))["pods"][0]["objectMeta"]["name"]
    rules = [rule("replicasets", "get", group="apps"), rule("pods", "get")]
    with account(kubectl, shop, rules=rules) as token:
        caller = dashboard.as_token(token)
        replica_set = await caller.ok(f"/replicaset/{shop}/{name}")
        custom = await caller.ok(f"/pod/{shop}/custom")
        in_set = await caller.ok(f"/pod/{shop}/{pod}")
        sub_list = await caller.ok(f"/replicaset/{shop}/{name}/pod")
        assert (await caller.get(f"/deployment/{shop}/web")).status == 403
    counted = replica_set["podInfo"]
    assert {key: counted[key] for key in (*ZEROS, "warnings")} == {**ZEROS, "warnings": []}
    refused = {each["ErrStatus"]["details"]["kind"] for each in replica_set["errors"]}
    assert {"pods", "events", "deployments", "horizontalpodautoscalers"} <= refused
    assert [(each["kind"], each["name"]) for each in replica_set["ownerChain"]] == [("Deployment", "web")]
    refused = {each["ErrStatus"]["details"]["kind"] for each in custom["errors"]}
    assert {"events", "persistentvolumeclaims", "configmaps", "secrets"} <= refused
    assert {each["value"] for each in custom["containers"][0]["env"]} == {"", "custom", "16"}
    assert [each["kind"] for each in in_set["ownerChain"]] == ["ReplicaSet", "Deployment"]
    assert (sub_list["pods"], sub_list["errors"][0]["ErrStatus"]["code"]) == ([], 403)


async def test_a_sub_list_of_what_may_not_be_seen(dashboard: Dashboard, kubectl: Kubectl, shop: str) -> None:
    with account(kubectl, shop, rules=[rule("pods", "list"), rule("events", "list")]) as token:
        caller = dashboard.as_token(token)
        pods = await caller.ok(f"/job/{shop}/busy-1/pod")
        events = await caller.ok(f"/deployment/{shop}/web/event")
        new = await caller.ok(f"/deployment/{shop}/web/newreplicaset")
    assert (pods["pods"], pods["errors"][0]["ErrStatus"]["details"]["kind"]) == ([], "jobs")
    assert {each["objectKind"] for each in events["events"]} == {"Deployment"}
    assert (new["typeMeta"], new["errors"][0]["ErrStatus"]["code"]) == ({}, 403)


async def test_autoscalers_of_an_object(reader: Dashboard, kubectl: Kubectl, shop: str) -> None:
    new, _ = await _sets(reader, shop)
    target = new["objectMeta"]["name"]
    of_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": target}
    of_web = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaled = [(f"set-{number:02}", of_set) for number in range(12)] + [("web", of_web)]
    kubectl("-n", shop, "create", "--filename=-", stdin=_listed(*(_autoscaler(*each) for each in scaled)))
    try:
        for kind in ("replicaset", "ReplicaSet"):
            found = await fresh(reader, f"/{kind}/{shop}/{target}/horizontalpodautoscaler")
            assert names(found["horizontalpodautoscalers"]) == [f"set-{number:02}" for number in range(10)]
            assert found["listMeta"] == {"totalItems": 12}
        rest = await reader.ok(f"/replicaset/{shop}/{target}/horizontalpodautoscaler", itemsPerPage=10, page=2)
        assert names(rest["horizontalpodautoscalers"]) == ["set-10", "set-11"]
        of_deployment = await reader.ok(f"/deployment/{shop}/web/horizontalpodautoscaler")
        assert names(of_deployment["horizontalpodautoscalers"]) == ["web"]
        detail = await reader.ok(f"/replicaset/{shop}/{target}")
        assert len(detail["horizontalPodAutoscalerList"]["horizontalpodautoscalers"]) == 10
    finally:
        kubectl("-n", shop, "delete", "horizontalpodautoscaler", "--all", "--wait=false")


def _autoscaler(name: str, target: Json) -> Json:
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 1}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("path", ["", "/container", "/event", "/persistentvolumeclaim"])
async def test_a_pod_that_is_not_there(reader: Dashboard, shop: str, path: str) -> None:
    assert (await reader.get(f"/pod/{shop}/none{path}")).status == 404
