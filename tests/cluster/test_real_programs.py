"""Other people's programs at work, restored by the runtime engine on the same node and on the other one: a row each.

Each holds a token that was drawn in its memory and is in no file. docs/guides/restored-programs.md is this table for
users, with the reasons of those that start cold.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster import images, program_images
from dev.cluster.cache import Cache
from dev.cluster.info import ClusterInfo, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from dev.cluster.workloads import counter_pod
from tests.cluster.snap import PUSHING, Snap, open_snap

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module"), pytest.mark.thorough]

NODES = ("node1", "node2")
FIRST_START_S = 120
"""The first pull of an image on a node with other work."""
SOON_S = 30
RUNC_STATE = "/run/containerd/runc/k8s.io"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program says of itself. `count` is how often something happened in it, and grows."""

    token: str
    count: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Place:
    """One pod, and how to talk to the program in it."""

    kubectl: Kubectl
    namespace: str
    pod: str

    def run(self, *argv: str) -> str:
        return self.kubectl.exec(self.namespace, self.pod, argv, container="program").strip()

    def fetch(self, path: str) -> str:
        return self.run("wget", "-q", "-O", "-", f"http://127.0.0.1:8080{path}")

    def query(self, text: str) -> str:
        return self.run("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", f"--command={text}")


@dataclass(frozen=True, slots=True)
class Program:
    """A row: an image, what its container is given, and how it is asked."""

    name: str
    ask: Callable[[Place], Asked]
    image: str = ""
    """As `program_images` calls it, if it is not the row's name."""
    prepare: Callable[[Place], None] = lambda _: None
    container: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)
    own_shm: bool = False
    """Whether its container asks for a /dev/shm that is frozen with it."""
    beside: bool = False
    """Whether a second container is there, which starts cold."""


def ask_own(place: Place) -> Asked:
    """A program of ours that answers all of it itself."""
    answer = json.loads(place.fetch("/"))
    assert answer.get("uring", 0) == 0, "the class has no io_uring"
    return Asked(answer["token"], answer["count"], answer["holds"])


def ask_nginx(place: Place) -> Asked:
    """The token it read at its start; master and workers by their ids; requests, counted in their shared memory."""
    processes = " ".join(sorted(place.run("pidof", "nginx").split()))
    assert "token.conf" not in place.run("ls", "/run"), "the token is in no file"
    token = json.loads(place.fetch("/"))["token"]
    requests = int(place.fetch("/status").splitlines()[2].split()[2])
    return Asked(f"{token} {processes}", requests, len(processes.split()) == 4)


def ask_redis(place: Place) -> Asked:
    server = dict(line.split(":", 1) for line in place.run("redis-cli", "info", "server").split() if ":" in line)
    count = int(place.run("redis-cli", "incr", "count"))
    return Asked(server["run_id"], count, place.run("redis-cli", "get", "key") == "kept")


def prepare_redis(place: Place) -> None:
    place.run("redis-cli", "set", "key", "kept")


def prepare_postgres(place: Place) -> None:
    place.query("create unlogged table kept as select 'kept' as value; create sequence count")


def ask_postgres(place: Place) -> Asked:
    """When it was started; the session that holds the lock, by the name which it drew."""
    session = "from pg_locks join pg_stat_activity using (pid) where locktype = 'advisory' and objid = 42"
    name = place.query(f"select application_name {session}")
    started = place.query("select pg_postmaster_start_time()")
    assert name, "a client of the pod's own holds its session"
    kept = place.query("select value from kept")
    return Asked(f"{started} {name}", int(place.query("select nextval('count')")), kept == "kept")


def ask_holder(place: Place) -> Asked:
    """The newest whole line of its output."""
    lines = place.kubectl("logs", f"--namespace={place.namespace}", place.pod, "--tail=2").splitlines()
    told = json.loads(lines[-1])
    assert told["lost"] == ""
    return Asked(told["token"], told["count"], told["holds"])


def probed(**probe: Any) -> dict[str, Any]:
    return {"readinessProbe": {**probe, "periodSeconds": 1, "timeoutSeconds": 5}}


WEB = probed(httpGet={"path": "/", "port": 8080})
NGINX = probed(httpGet={"path": "/status", "port": 8080})
POSTGRES = probed(tcpSocket={"port": 5432})
POOL = {"command": ["python3", "-c", (images.PROGRAMS / "pool.py").read_text()], **WEB}
SYSV = {"args": ["-c", "dynamic_shared_memory_type=sysv"], **POSTGRES}

ROWS = [
    Program("jvm", ask_own, container={**WEB, "resources": {"limits": {"memory": "512Mi"}}}),
    Program("node", ask_own, container=WEB),
    Program("python", ask_own, image="webapp", container=POOL),
    Program("nginx", ask_nginx, container=NGINX),
    Program("redis", ask_redis, prepare=prepare_redis, container=probed(tcpSocket={"port": 6379})),
    Program("postgres", ask_postgres, prepare=prepare_postgres, container=POSTGRES, own_shm=True),
    Program("postgres-sysv", ask_postgres, image="postgres", prepare=prepare_postgres, container=SYSV),
    Program("static-program", ask_holder, image="holder"),
    Program(
        "shared-process-namespace",
        ask_nginx,
        image="nginx",
        container=NGINX,
        pod={"shareProcessNamespace": True},
        beside=True,
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


def image_of(cluster: ClusterInfo, name: str) -> str:
    return cluster.images.get(name) or program_images.ensure(cluster, Cache(read_settings().cache), name)


def started(row: Program, cluster: ClusterInfo, kubectl: Kubectl, namespace: str) -> Place:
    """The row's pod, up and prepared. It is of the class, as automation makes them: so its locks are frozen, too."""
    pod = counter_pod("source", namespace, image_of(cluster, row.image or row.name), node="node1")
    (container,) = pod["spec"]["containers"]
    container.update({"name": "program", **row.container})
    if row.beside:
        pod["spec"]["containers"].append({"name": "beside", "image": cluster.images["counter"]})
    if row.own_shm:
        pod["metadata"]["annotations"] = {"ksnap.dev/shm": "own"}
    pod["spec"].update({"runtimeClassName": "ksnap", **row.pod})
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "source", timeout_s=FIRST_START_S)
    place = Place(kubectl, namespace, "source")
    row.prepare(place)
    return place


async def restored(snap: Snap, frozen: str, kubectl: Kubectl, namespace: str, node: str) -> tuple[bool, Place, str]:
    """Whether it was a restore, the pod, and its events."""
    name = f"copy-{node}"
    body = {"pod_name": name, "node_name": node, "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen}/restore", body)
    chosen = (f"--namespace={namespace}", f"--field-selector=involvedObject.name={name}", "--output=json")
    events = "\n".join(each["message"] for each in json.loads(kubectl("get", "events", *chosen))["items"])
    return result["restored"], Place(kubectl, namespace, name), events


def soon(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < until, f"not within {SOON_S} s: {what}"
        time.sleep(0.2)


def status_of(place: Place) -> dict[str, Any]:
    (status,) = place.kubectl.get(place.namespace, "pod", place.pod)["status"]["containerStatuses"]
    found: dict[str, Any] = status
    return found


def is_anew(place: Place) -> bool:
    status = status_of(place)
    return bool(status["restartCount"] == 1 and status["ready"])


def kill_first_process(cluster: ClusterInfo, place: Place, node: str) -> None:
    """As the kernel would for want of memory: it has no time to tidy up."""
    container = status_of(place)["containerID"].removeprefix("containerd://")
    state = json.loads(node_exec(cluster.node(node), ["runc", f"--root={RUNC_STATE}", "state", container]))
    node_exec(cluster.node(node), ["kill", "-KILL", str(state["pid"])])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_goes_on(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, row: Program) -> None:
    source = started(row, cluster, kubectl, namespace)
    before = row.ask(source)
    frozen = await snap.freeze(namespace, "source", container_name="program")
    for node in NODES:
        was_restored, copy, events = await restored(snap, frozen["checkpoint_id"], kubectl, namespace, node)
        assert was_restored is True, events
        after = row.ask(copy)
        assert (after.token, after.count > before.count, after.holds) == (before.token, True, True), (before, after)
    still = row.ask(source)
    assert (still.token, still.holds) == (before.token, True), "the source goes on"


async def test_outside_of_the_class_nodes_io_urings_stop_the_freeze(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """So the row above is for the class: without it libuv gets the rings that it asks for."""
    pod = counter_pod("source", namespace, image_of(cluster, "node"), node="node1")
    pod["spec"]["containers"][0].update({"name": "program", **WEB})
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "source", timeout_s=FIRST_START_S)
    place = Place(kubectl, namespace, "source")
    before = json.loads(place.fetch("/"))
    if before["uring"] == 0:
        pytest.skip("this kernel has no io_uring")
    body = {"pod_name": "source", "namespace": namespace, "cluster_name": PUSHING}
    refused = await snap.call("POST", "/checkpoint/kubelet/checkpoint", body)
    assert refused.status >= 400, refused
    assert json.loads(place.fetch("/"))["token"] == before["token"], "it runs on"


async def test_clients_of_postgres_are_closed_and_come_again(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """A client in another pod loses its session in the restored server, and keeps it in the frozen one."""
    row = next(each for each in ROWS if each.name == "postgres")
    source = started(row, cluster, kubectl, namespace)
    address = kubectl.get(namespace, "pod", "source")["status"]["podIP"]
    client = counter_pod("client", namespace, image_of(cluster, "postgres"), node="node1")
    (container,) = client["spec"]["containers"]
    session = "{ echo \"set application_name = 'far';\"; exec tail -f /dev/null; } | psql"
    container.update({"name": "program", "command": ["/bin/sh", "-c", session]})
    container["env"] = [{"name": "PGHOST", "value": address}]
    kubectl.apply(client)
    kubectl.wait_ready(namespace, "client")
    far = "select pid from pg_stat_activity where application_name = 'far'"
    soon(lambda: source.query(far) != "", "the client is connected")
    backend = source.query(far)
    frozen = await snap.freeze(namespace, "source", container_name="program")
    was_restored, copy, events = await restored(snap, frozen["checkpoint_id"], kubectl, namespace, "node2")
    assert was_restored is True, events
    soon(lambda: copy.query(far) == "", "the restored server has ended the client's session")
    assert source.query(far) == backend, "the frozen one has not"
    new = kubectl.get(namespace, "pod", "copy-node2")["status"]["podIP"]
    answer = Place(kubectl, namespace, "client").run("psql", f"--host={new}", "-Atc", "select value from kept")
    assert answer == "kept", "clients connect again, over the network"


async def test_named_files_in_the_pods_shared_memory_start_cold(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """The pod's /dev/shm is no part of a checkpoint: a new pod has none of PostgreSQL's files in it, unless it is asked
    to give the container one of its own."""
    row = Program("postgres", ask_postgres, prepare=prepare_postgres, container=POSTGRES)
    source = started(row, cluster, kubectl, namespace)
    before = source.query("select pg_postmaster_start_time()")
    frozen = await snap.freeze(namespace, "source", container_name="program")
    was_restored, copy, events = await restored(snap, frozen["checkpoint_id"], kubectl, namespace, "node2")
    assert was_restored is False
    assert "dev/shm/PostgreSQL" in events, events
    assert copy.query("select pg_postmaster_start_time()") != before, "it is up, and cold"
    _, *segments = copy.run("cat", "/proc/sysvipc/shm").splitlines()
    assert len(segments) == 1, f"its own, and none of the restore that failed: {segments}"


async def test_segments_left_in_the_pod_are_not_in_the_way_of_another_try(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """A restored server is killed, and its container restored once more: in the same sandbox, whose IPC namespace has
    kept the System V segments of the first."""
    row = next(each for each in ROWS if each.name == "postgres-sysv")
    source = started(row, cluster, kubectl, namespace)
    token = row.ask(source).token
    frozen = await snap.freeze(namespace, "source", container_name="program")
    was_restored, copy, events = await restored(snap, frozen["checkpoint_id"], kubectl, namespace, "node2")
    assert was_restored is True, events
    kill_first_process(cluster, copy, "node2")
    soon(lambda: is_anew(copy), "the container is there again")
    assert row.ask(copy).token == token


async def test_a_sleep_of_busybox_ends_at_the_freeze(
    snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str
) -> None:
    """As CRIU has it: a sleep is interrupted, and busybox 1.37 takes that for its end. So the frozen one ends, too."""
    pod = counter_pod("source", namespace, image_of(cluster, "redis"), node="node1")
    pod["spec"]["containers"][0]["command"] = ["/bin/busybox", "sleep", "1000000"]
    kubectl.apply(pod)
    kubectl.wait_ready(namespace, "source")
    await snap.freeze(namespace, "source")
    soon(lambda: is_anew(Place(kubectl, namespace, "source")), "the kubelet has started the container anew")
