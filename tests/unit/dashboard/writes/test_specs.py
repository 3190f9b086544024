"""Objects made of forms: a deployment with its service, a job of a cron job, a selector's text."""

import base64
import json
from dataclasses import replace

import pytest

from ksnap.dashboard.writes.create import DOCKERCFG, DOCKERCONFIGJSON, manual_job, pull_secret_form
from ksnap.dashboard.writes.deployment_spec import AppSpec, PortMapping, deployment_of, service_of
from ksnap.dashboard.writes.rollouts import label_selector
from ksnap.errors import InvalidInput

APP = AppSpec(name="web", namespace="ns", image="nginx", replicas=2)


def test_the_least_that_a_form_says() -> None:
    made = deployment_of(APP)
    assert made["spec"]["selector"]["matchLabels"] == made["metadata"]["labels"] == {"k8s-app": "web"}
    assert "annotations" not in made["metadata"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert not {"command", "args", "resources"} & set(container)
    assert service_of(APP, lambda length: "x" * length) is None


def test_command_lines_are_taken_apart_like_a_shell_does() -> None:
    made = deployment_of(replace(APP, command="/bin/sh", arguments="-c 'a  b' c\\ d"))
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container["args"]) == (["/bin/sh"], ["-c", "a  b", "c d"])
    with pytest.raises(InvalidInput, match="command line"):
        deployment_of(replace(APP, arguments="'open"))


def test_an_external_service() -> None:
    ports = (PortMapping(80, 8080, "TCP"), PortMapping(53, 53, "UDP"))
    made = service_of(replace(APP, ports=ports, is_external=True), lambda length: "r" * length)
    assert made is not None
    assert made["spec"]["type"] == "LoadBalancer"
    assert [each["name"] for each in made["spec"]["ports"]] == ["tcp-80-8080-rrrrr", "udp-53-53-rrrrr"]


@pytest.mark.parametrize("name", ["a" * 52, "a" * 40 + "-" + "b" * 11, "a" * 40 + ".b"])
def test_a_jobs_name_is_one(name: str) -> None:
    cron_job = {
        "metadata": {"name": name, "namespace": "ns", "uid": "u"},
        "spec": {"jobTemplate": {"spec": {"template": {}}}},
    }
    made = manual_job(cron_job, "xyz")["metadata"]
    assert made["name"].endswith("-manual-xyz")
    assert len(made["name"]) <= 52
    assert made["name"].removesuffix("-manual-xyz")[-1].isalnum()


def test_the_form_of_a_pull_secret() -> None:
    for content, form in (({"auths": {}}, DOCKERCONFIGJSON), ({"r": {}}, DOCKERCFG), ({"auths": 1}, DOCKERCFG)):
        assert pull_secret_form(base64.b64encode(json.dumps(content).encode()).decode()) == form
    for wrong in ("", "é", "a" * 3, base64.b64encode(b"[]").decode()):
        with pytest.raises(InvalidInput):
            pull_secret_form(wrong)


def test_selectors_as_text() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["1", "2"]},
        {"key": "b", "operator": "NotIn", "values": ["3"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"x": "y"}, "matchExpressions": expressions}
    assert label_selector(selector) == "x=y,a in (1,2),b notin (3),c,!d"
