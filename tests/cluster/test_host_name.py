"""The host name of a restored container: the frozen one, or on request its pod's own."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

SEEN = "json.dumps([socket.gethostname(), os.environ['HOSTNAME'], open('/etc/hosts').read()])"
PROGRAM = f"""
import json, os, secrets, socket, time
token = secrets.token_hex(8)
while True:
    print(token, {SEEN}, flush=True)
    time.sleep(0.2)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


def last_told(kubectl: Kubectl, namespace: str, pod: str) -> tuple[str, str, str, str]:
    """Token, host name, the variable HOSTNAME in memory, and /etc/hosts, as the program itself sees them."""
    line = kubectl("logs", f"--namespace={namespace}", pod, "--tail=2").splitlines()[-1]
    token, _, text = line.partition(" ")
    host, variable, hosts = json.loads(text)
    return token, host, variable, hosts


@pytest.mark.parametrize("own", [False, True], ids=["frozen", "the-pods"])
async def test_host_name_is_the_frozen_one_unless_the_pod_asks_for_its_own(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, *, own: bool
) -> None:
    annotations = {"hostname.ksnap.dev/webapp": "pod"} if own else {}
    pod = webapp_pod("source", namespace, cluster.images["webapp"], node="node1", annotations=annotations)
    (container,) = pod["spec"]["containers"]
    container["command"] = ["python3", "-c", PROGRAM]
    del container["readinessProbe"]
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "source")
    frozen = await snap.freeze(namespace, "source")
    body = {"pod_name": "copy", "node_name": "node2", "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)
    assert result["restored"] is True, result

    token, host, variable, hosts = last_told(kubectl, namespace, "source")
    assert (host, variable) == ("source", "source")
    again, copied_host, copied_variable, copied_hosts = last_told(kubectl, namespace, "copy")
    assert again == token
    assert copied_host == ("copy" if own else "source")
    assert copied_variable == "source", "what is in memory stays"
    address = kubectl.get(namespace, "pod", "copy")["status"]["podIP"]
    assert f"{address}\tcopy" in copied_hosts
    assert "\tsource" in hosts
    # Whoever comes into the container by exec finds the same, and the new pod's environment.
    seen = json.loads(kubectl.exec(namespace, "copy", ["python3", "-c", f"import json, os, socket; print({SEEN})"]))
    assert seen[:2] == ["copy" if own else "source", "copy"]
