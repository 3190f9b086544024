"""Applications out of a form or a file: all of it or nothing; and what a form is checked against before."""

import json
import secrets

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.objects import Json, config_map

pytestmark = pytest.mark.usefixtures("administrators_may_all")


@pytest.fixture
def form(cluster: ClusterInfo, namespace: str) -> Json:
    return {
        "name": "web",
        "namespace": namespace,
        "containerImage": cluster.images["pause"],
        "replicas": 0,
        "containerCommand": None,
        "containerCommandArgs": "-c 'echo two words' \"$HOME\"",
        "portMappings": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}],
        "variables": [{"name": "A", "value": "1"}],
        "isExternal": False,
        "description": "what it is for",
        "memoryRequirement": "16Mi",
        "cpuRequirement": "10m",
        "labels": [{"key": "k8s-app", "value": "web"}],
        "runAsPrivileged": False,
    }


async def test_an_application_out_of_a_form(dashboard: Dashboard, kubectl: Kubectl, form: Json) -> None:
    answer = await dashboard.call("POST", "/appdeployment", form)
    assert (answer.status, answer.body) == (201, {**form, "imagePullSecret": None}), answer
    deployment = kubectl.get(form["namespace"], "deployment", "web")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["-c", "echo two words", "$HOME"]
    assert container["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"}}
    assert deployment["metadata"]["annotations"]["description"] == "what it is for"
    service = kubectl.get(form["namespace"], "service", "web")["spec"]
    assert (service["type"], service["selector"]) == ("ClusterIP", {"k8s-app": "web"})
    port = service["ports"][0]
    assert (port["port"], port["targetPort"], port["name"].startswith("tcp-80-8080-")) == (80, 8080, True)


async def test_half_an_application_is_none(dashboard: Dashboard, kubectl: Kubectl, form: Json) -> None:
    """Its service cannot be: the deployment goes again."""
    kubectl("-n", form["namespace"], "create", "service", "clusterip", "web", "--tcp=80")
    answer = await dashboard.call("POST", "/appdeployment", form)
    assert (answer.status, 'services "web" already exists' in answer.text) == (409, True), answer
    assert kubectl("-n", form["namespace"], "get", "deployments", "-o", "name") == ""
    assert (await dashboard.call("POST", "/appdeployment", {**form, "containerCommandArgs": "'"})).status == 400


async def test_whether_a_name_is_free(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "create", "service", "clusterip", "taken", "--tcp=80")
    path = "/appdeployment/validate/name"
    no_csrf = {"X-CSRF-TOKEN": ""}
    for name, valid in (("taken", False), ("free", True)):
        body = {"name": name, "namespace": namespace}
        answer = await dashboard.call("POST", path, body, headers=no_csrf)
        assert answer.body == {"valid": valid}
    with account(kubectl, namespace, rules=[rule("pods", "get")]) as token:
        unseen = await dashboard.as_token(token).call("POST", path, body, headers=no_csrf)
    assert unseen.body == {"valid": True}


async def test_a_file_of_several_objects(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """In order, dry first; a namespace and what is in it in one file; each object told with its result."""
    other = f"{namespace}-more"
    first = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}
    second = {**config_map("one", when="x"), "metadata": {"name": "one", "namespace": other}}
    content = f"{json.dumps(first)}\n---\n---\n{json.dumps(second)}"
    body = {"name": "f.yaml", "namespace": "_all", "content": content, "validate": True}
    try:
        answer = await dashboard.call("POST", "/appdeploymentfromfile", body)
        assert (answer.status, answer.body["error"], answer.body["name"]) == (201, "", "f.yaml"), answer
        assert [(each["kind"], each["result"]) for each in answer.body["objects"]] == [
            ("Namespace", "created"),
            ("ConfigMap", "created"),
        ]
        assert kubectl.get(other, "configmap", "one")["data"] == {"when": "x"}
    finally:
        kubectl("delete", "namespace", other, "--ignore-not-found", "--wait=false")


async def test_a_file_with_a_kind_and_an_object_of_it(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """The API server serves the kind a moment after its definition."""
    word = f"thing{secrets.token_hex(4)}"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{word}s.test.ksnap.dev"},
        "spec": {
            "group": "test.ksnap.dev",
            "names": {"kind": word.capitalize(), "plural": f"{word}s", "singular": word},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    thing = {"apiVersion": "test.ksnap.dev/v1", "kind": word.capitalize(), "metadata": {"name": "one"}}
    content = f"{json.dumps(definition)}\n---\n{json.dumps(thing)}"
    body = {"name": "f", "namespace": namespace, "content": content, "validate": True}
    try:
        answer = await dashboard.call("POST", "/appdeploymentfromfile", body)
        assert answer.status == 201, answer
        assert answer.body["objects"][1]["namespace"] == namespace
    finally:
        kubectl("delete", "crd", f"{word}s.test.ksnap.dev", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("validate", [True, False])
async def test_a_file_with_one_bad_object_leaves_nothing(
    dashboard: Dashboard, kubectl: Kubectl, namespace: str, *, validate: bool
) -> None:
    bad = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bad"}, "spec": {"ports": []}}
    content = json.dumps({"kind": "List", "apiVersion": "v1", "items": [config_map("good"), bad]})
    body = {"name": "f", "namespace": namespace, "content": content, "validate": validate}
    answer = await dashboard.call("POST", "/appdeploymentfromfile", body)
    assert (answer.status, "spec.ports" in answer.text) == (400 if validate else 422, True), answer
    assert "configmap/good" not in kubectl("-n", namespace, "get", "configmaps", "-o", "name")


async def test_a_file_for_another_namespace(dashboard: Dashboard, namespace: str) -> None:
    elsewhere = {**config_map("one"), "metadata": {"name": "one", "namespace": "default"}}
    for found, where, told in (
        (elsewhere, namespace, "MSG_DEPLOY_NAMESPACE_MISMATCH_ERROR"),
        (config_map("one"), "_all", "MSG_DEPLOY_EMPTY_NAMESPACE_ERROR"),
    ):
        body = {"name": "f", "namespace": where, "content": json.dumps(found)}
        answer = await dashboard.call("POST", "/appdeploymentfromfile", body)
        assert (answer.status, answer.text) == (400, told)
    unknown = json.dumps({"apiVersion": "none.example/v1", "kind": "None", "metadata": {"name": "x"}})
    body = {"name": "f", "namespace": namespace, "content": unknown}
    assert (await dashboard.call("POST", "/appdeploymentfromfile", body)).status == 404
