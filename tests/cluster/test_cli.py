"""The loop by command line on the real cluster, as the guide walks it: freeze, look, take home, restore, cancel."""

import json
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import webapp_pod
from dev.stack import agents
from dev.stack.pods import Pods
from tests.parties.server import ADMIN_PASSWORD, running_server
from tests.server.person import Person

GUIDE = Path(__file__).parents[2] / "docs/guides/install.md"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def anna(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Logged in at a server that knows the cluster as `dev` and its registry."""
    agents.install(cluster)
    folder = tmp_path_factory.mktemp("cli")
    with running_server(folder / "data") as server:
        person = Person(folder / "home", server.url)
        configure(person, cluster)
        yield person


def configure(person: Person, cluster: ClusterInfo) -> None:
    """Log in, and tell the server of the cluster and its registry."""
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    registry = cluster.registries["private"]
    account = ("-u", registry.username, "--password-file", str(registry.password_file))
    added = person.ksnap("registry", "add", "images", registry.host, *account, "--registry-ca", str(registry.ca_file))
    assert added.code == 0, added.err
    added = person.ksnap("cluster", "add", "dev", "--kubeconfig", str(cluster.kubeconfig), "--registry", "images")
    assert added.code == 0, added.err


@pytest.fixture
def pods(cluster: ClusterInfo, namespace: str) -> Pods:
    return Pods(cluster, namespace)


def test_the_nodes_say_what_they_can(anna: Person, cluster: ClusterInfo) -> None:
    done = anna.ksnap("cluster", "status", "dev")
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if line}
    for node in cluster.nodes:
        assert rows[node.name][1:4] == ["ready", "yes", "runtime"]


def test_freeze_restore_and_take_home(anna: Person, cluster: ClusterInfo, pods: Pods, tmp_path: Path) -> None:
    first, second = (each.name for each in cluster.nodes[:2])
    pods.start(webapp_pod("web", pods.namespace, cluster.images["webapp"], node=first, memory_mb=32, start_s=3))
    token = pods.ask("web")["token"]
    frozen = anna.ksnap("checkpoint", "create", "web", "-n", pods.namespace, "--push", "-o", "json")
    assert frozen.code == 0, frozen.err
    record = frozen.json
    assert record["status"] == "completed"
    assert record["image"]
    stages = [line.split("  ")[0] for line in frozen.err.splitlines()]
    assert [each for each in ("dumping", "pushing", "done") if each in stages] == ["dumping", "pushing", "done"]

    words = ("--name", "web-again", "--node", second)
    restored = anna.ksnap("restore", record["id"], *words)
    assert restored.code == 0, restored.err
    assert "restored:   yes" in restored.out
    assert pods.ask("web-again")["token"] == token
    taken = anna.ksnap("restore", record["id"], *words)
    assert taken.code == 6, "that pod is there already"

    file = tmp_path / "web.tar"
    assert anna.ksnap("checkpoint", "download", record["id"], "-o", str(file)).code == 0
    with tarfile.open(file) as archive:
        assert "config.dump" in archive.getnames()
    assert anna.ksnap("checkpoint", "delete", record["id"]).code == 0
    assert anna.ksnap("checkpoint", "show", record["id"]).code == 5


def test_detached_work_is_followed_from_elsewhere(anna: Person, cluster: ClusterInfo, pods: Pods) -> None:
    pods.start(webapp_pod("web", pods.namespace, cluster.images["webapp"], memory_mb=16, start_s=1))
    begun = anna.ksnap("checkpoint", "create", "web", "-n", pods.namespace, "--detach", "-o", "json")
    assert begun.code == 0, begun.err
    watched = anna.ksnap("job", "watch", begun.json["job_id"], "-o", "json")
    assert watched.code == 0, watched.err
    assert watched.json["status"] == "completed"
    assert anna.ksnap("checkpoint", "delete", begun.json["checkpoint_id"]).code == 0


def test_ctrl_c_cancels_and_waits_for_the_undo(anna: Person, cluster: ClusterInfo, pods: Pods) -> None:
    image = cluster.images["webapp"]
    pods.start(webapp_pod("big", pods.namespace, image, memory_mb=400, start_s=1))
    process = anna.start("checkpoint", "create", "big", "-n", pods.namespace, "--push")
    wait_for_line(process, "dumping")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    assert "what was made is being removed" in err
    [record] = anna.ksnap("checkpoint", "list", "-n", pods.namespace, "-o", "json").json
    assert (record["status"], record["image"]) == ("failed", None)
    jobs = anna.ksnap("job", "list", "--kind", "checkpoint", "-o", "json").json
    assert [each["status"] for each in jobs if each["checkpoint_id"] == record["id"]] == ["cancelled"]


def test_a_killed_server_is_waited_for(anna: Person, cluster: ClusterInfo, pods: Pods, tmp_path: Path) -> None:
    """Job and command line both outlive a kill -9 in the middle of the dump."""
    pods.start(webapp_pod("big", pods.namespace, cluster.images["webapp"], memory_mb=200, start_s=1))
    with running_server(tmp_path / "data") as server:
        person = Person(tmp_path / "home", server.url)
        configure(person, cluster)
        process = person.start("checkpoint", "create", "big", "-n", pods.namespace, "-o", "json")
        wait_for_line(process, "dumping")
        server.process.kill()
        server.process.wait(timeout=10)
    same_address = {"KSNAP_PORT": server.url.rpartition(":")[2]}
    with running_server(tmp_path / "data", same_address):
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        record = json.loads(out)
        assert record["status"] == "completed"
        assert person.ksnap("checkpoint", "delete", record["id"]).code == 0


@pytest.fixture
def guides_account(kubectl: Kubectl) -> Iterator[str]:
    """The rights that the guide gives to ksnap's account, out of the guide itself; yields a token of it."""
    text = GUIDE.read_text()
    manifest = text[text.index("apiVersion: rbac") :].partition("```")[0]
    kubectl("apply", "-f", "-", stdin=manifest)
    try:
        yield kubectl("-n", agents.NAMESPACE, "create", "token", "ksnap-server", "--duration", "1h")
    finally:
        kubectl("delete", "-f", "-", stdin=manifest)


def test_the_guides_account_has_all_rights_it_needs(
    anna: Person, cluster: ClusterInfo, pods: Pods, guides_account: str
) -> None:
    where = ("--api-server", cluster.api_server, "--api-ca", str(cluster.ca_file), "--registry", "images")
    added = anna.ksnap("cluster", "add", "by-token", *where, "--token-file", "-", "-o", "json", stdin=guides_account)
    try:
        assert added.code == 0, added.err
        assert added.json["missing_rights"] == []
        pods.start(webapp_pod("web", pods.namespace, cluster.images["webapp"], memory_mb=16, start_s=1))
        frozen = anna.ksnap("checkpoint", "create", "web", "-n", pods.namespace, "-c", "by-token", "-o", "json")
        assert frozen.code == 0, frozen.err
        restored = anna.ksnap("restore", frozen.json["id"], "--name", "web-again")
        assert restored.code == 0, restored.err
        assert anna.ksnap("checkpoint", "delete", frozen.json["id"]).code == 0
    finally:
        anna.ksnap("cluster", "remove", "by-token")


def test_what_is_not_there_is_5_and_says_what(anna: Person, namespace: str) -> None:
    done = anna.ksnap("checkpoint", "create", "nothing", "-n", namespace)
    assert (done.code, done.out) == (5, "")
    assert "nothing" in done.err


def wait_for_line(process: "subprocess.Popen[str]", word: str) -> None:
    """Until the program's progress says it."""
    assert process.stderr is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if word in line:
            return
        assert line, "it ended before"
    raise AssertionError(f"no {word!r} within a minute")
