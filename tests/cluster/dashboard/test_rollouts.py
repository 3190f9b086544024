"""Rollouts through the dashboard: paused, resumed, restarted, taken back, as `kubectl rollout` does it."""

import json
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard
from tests.cluster.dashboard.objects import Json, until, workload

pytestmark = pytest.mark.usefixtures("administrators_may_all")
REVISION = "deployment.kubernetes.io/revision"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


@pytest.fixture
def made(kubectl: Kubectl, cluster: ClusterInfo, namespace: str) -> str:
    """A namespace with one workload of each kind that can be restarted."""
    found = [workload(kind, "web", cluster.images["pause"]) for kind in ("Deployment", "DaemonSet", "StatefulSet")]
    for each in found:
        each["metadata"]["namespace"] = namespace
    kubectl.apply(*found)
    return namespace


async def test_pause_and_resume_as_often_as_one_likes(dashboard: Dashboard, made: str) -> None:
    path = f"/deployment/{made}/web"
    for action, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        answer = await dashboard.call("PUT", f"{path}/{action}")
        assert (answer.status, answer.body["kind"]) == (200, "Deployment"), answer
        assert answer.body["spec"].get("paused", False) is paused
    assert (await dashboard.call("PUT", f"/deployment/{made}/none/pause")).status == 404


async def test_restart_of_each_kind(dashboard: Dashboard, kubectl: Kubectl, made: str) -> None:
    await until("revision", lambda: _revision(kubectl, made))
    answer = await dashboard.call("PUT", f"/deployment/{made}/web/restart")
    assert (answer.status, answer.body) == (200, {"revision": "1"}), answer
    for kind in ("daemonset", "statefulset"):
        answer = await dashboard.call("PUT", f"/{kind}/{made}/web/restart")
        assert (answer.status, answer.body["kind"].lower()) == (200, kind), answer
    for kind in ("deployment", "daemonset", "statefulset"):
        assert RESTARTED_AT in kubectl.get(made, kind, "web")["spec"]["template"]["metadata"]["annotations"]


async def test_the_older_paths(dashboard: Dashboard, made: str) -> None:
    paused = await dashboard.call("PUT", f"/Deployment/{made}/web/pause")
    assert paused.body["spec"]["paused"] is True
    assert (await dashboard.call("PUT", f"/Deployment/{made}/web/resume")).status == 200
    assert "revision" in (await dashboard.call("PUT", f"/Deployment/{made}/web/restart")).body
    for action in ("pause", "resume", "restart"):
        assert (await dashboard.call("PUT", f"/configmap/{made}/web/{action}")).status == 400
    assert (await dashboard.call("PUT", f"/statefulset/{made}/web/rollback", {"revision": "1"})).status == 400


async def test_rollback_brings_the_whole_template_back(dashboard: Dashboard, kubectl: Kubectl, made: str) -> None:
    """Labels and annotations as well; not the label that the controller put there."""
    await until("revision 1", lambda: _revision(kubectl, made, "1"))
    change = {"metadata": {"labels": {"new": "1"}, "annotations": {"new": "1"}}, "spec": {"hostNetwork": True}}
    kubectl("-n", made, "patch", "deployment", "web", "-p", json.dumps({"spec": {"template": change}}))
    await until("revision 2", lambda: _revision(kubectl, made, "2"))
    path = f"/deployment/{made}/web/rollback"
    answer = await dashboard.call("PUT", path, {"revision": "1"})
    assert (answer.status, answer.body) == (200, {"revision": "2"}), answer
    template: Json = kubectl.get(made, "deployment", "web")["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "web"}
    assert not template["metadata"].get("annotations")
    assert "hostNetwork" not in template["spec"]
    await until("revision 3", lambda: _revision(kubectl, made, "3"))
    unknown = await dashboard.call("PUT", path, {"revision": 9})
    assert (unknown.status, "it has 2, 3" in unknown.text) == (404, True), unknown
    assert (await dashboard.call("PUT", path, {})).status == 400
    await dashboard.call("PUT", f"/deployment/{made}/web/pause")
    assert (await dashboard.call("PUT", path, {"revision": "2"})).status == 409


async def _revision(kubectl: Kubectl, namespace: str, wanted: str = "") -> Any:
    found = kubectl.get(namespace, "deployment", "web")["metadata"].get("annotations", {}).get(REVISION)
    return found if not wanted or found == wanted else None
