"""What processes hold and what pods give them, restored by the runtime engine on the other node: a row per kind.

Each program draws a token, makes what its row is about, and tells once and again on its output whether that still is as
it was. docs/guides/restored-programs.md is this table for users.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from dev.cluster.info import ClusterInfo, node_exec
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import counter_pod
from tests.cluster.snap import Snap, open_snap

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module"), pytest.mark.thorough]

PROGRAM = """
import ctypes, fcntl, json, mmap, os, secrets, signal, socket, subprocess, sys, threading, time
token = secrets.token_hex(8)
{setup}
number = 0
while True:
    number += 1
    try:
        holds = bool({holds})
    except Exception as error:
        holds = repr(error)
    print(json.dumps({{"token": token, "number": number, "holds": holds}}), flush=True)
    time.sleep(0.2)
"""
MOUNTED = {
    "volumeMounts": [
        {"name": "settings", "mountPath": "/settings"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "memory", "mountPath": "/memory"},
    ]
}
VOLUMES = {
    "volumes": [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "settings"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ]
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of thing: how it is made, and an expression that is true while it is as it was."""

    name: str
    setup: str
    holds: str
    container: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)


ROWS = [
    Row(
        "threads",
        "beats = [0] * 4\n"
        "def beat(i):\n    while True:\n        beats[i] += 1\n        time.sleep(0.01)\n"
        "for i in range(4): threading.Thread(target=beat, args=(i,), daemon=True).start()\n"
        "def moves():\n    before = list(beats); time.sleep(0.1); return all(a < b for a, b in zip(before, beats))",
        "moves()",
    ),
    Row(
        "children-and-pipes",
        "ask, answer = os.pipe(), os.pipe()\n"
        "if os.fork() == 0:\n"
        "    while True: os.write(answer[1], os.read(ask[0], 1).upper())\n"
        "def asked():\n    os.write(ask[1], b'a'); return os.read(answer[0], 1)",
        "asked() == b'A'",
    ),
    Row(
        "file-lock",
        "held = open('/tmp/lock', 'w'); fcntl.flock(held, fcntl.LOCK_EX)\n"
        "def others_wait():\n"
        "    with open('/tmp/lock') as other:\n"
        "        try: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "        except BlockingIOError: return True\n",
        "others_wait()",
        {},
        # Outside of the class CRIU is not told to dump locks.
        {"runtimeClassName": "ksnap"},
    ),
    Row(
        "deleted-open-file",
        "gone = open('/tmp/gone', 'w+b'); os.unlink('/tmp/gone'); gone.write(b'kept'); gone.flush()",
        "os.pread(gone.fileno(), 4, 0) == b'kept' and not os.path.exists('/tmp/gone')",
    ),
    Row(
        "memfd",
        "memory = os.memfd_create('m'); os.write(memory, b'kept')",
        "os.pread(memory, 4, 0) == b'kept'",
    ),
    Row(
        "shared-memory",
        "shared = mmap.mmap(-1, 4096); shared[:4] = b'kept'\n"
        "if os.fork() == 0:\n"
        "    while True: shared[4] = (shared[4] + 1) % 251; time.sleep(0.01)\n"
        "def moves():\n    before = shared[4]; time.sleep(0.1); return shared[4] != before",
        "shared[:4] == b'kept' and moves()",
    ),
    Row(
        "changed-root-file-system",
        "open('/made', 'w').write('kept'); os.unlink('/etc/issue') if os.path.exists('/etc/issue') else None",
        "open('/made').read() == 'kept' and not os.path.exists('/etc/issue')",
    ),
    Row(
        "signals-and-timers",
        "got = []\n"
        "signal.signal(signal.SIGALRM, lambda *_: got.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)\n"
        "def moves():\n    before = len(got); time.sleep(0.3); return len(got) > before",
        "moves()",
    ),
    Row(
        "unix-and-tcp-sockets",
        "left, right = socket.socketpair()\n"
        "listener = socket.create_server(('127.0.0.1', 7070))\n"
        "def talks():\n"
        "    left.send(b'x')\n"
        "    with socket.create_connection(('127.0.0.1', 7070)) as client: listener.accept()[0].close()\n"
        "    return right.recv(1) == b'x'",
        "talks()",
    ),
    Row(
        "mounted-volumes",
        "",
        "open('/settings/key').read() == open('/secret/key').read() == 'value'"
        " and all(open(f'/{each}/new', 'w').write('x') for each in ('scratch', 'memory'))",
        MOUNTED,
        VOLUMES,
    ),
    Row(
        "environment",
        "",
        "os.environ['GIVEN'] == 'value'",
        {"env": [{"name": "GIVEN", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}}}]},
    ),
    Row(
        "read-only-root",
        "",
        "not os.access('/', os.W_OK)",
        {"securityContext": {"readOnlyRootFilesystem": True}},
    ),
    Row("terminal", "", "os.isatty(0)", {"tty": True, "stdin": True}),
    Row(
        "memory-limit",
        "",
        "True",
        {"resources": {"limits": {"memory": "96Mi"}, "requests": {"memory": "32Mi"}}},
    ),
    Row("shared-process-namespace", "me = os.getpid()", "os.getpid() == me", {}, {"shareProcessNamespace": True}),
    Row(
        "without-capabilities",
        "",
        "True",
        {
            "securityContext": {
                "runAsUser": 1000,
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        },
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def snap(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Snap]:
    async with open_snap(cluster, tmp_path_factory.mktemp("snap")) as opened:
        yield opened


def pod_of(row: Row, namespace: str, image: str) -> dict[str, Any]:
    pod = counter_pod("source", namespace, image, node="node1")
    (container,) = pod["spec"]["containers"]
    container["command"] = ["python3", "-c", PROGRAM.format(setup=row.setup, holds=row.holds)]
    container.update(row.container)
    pod["spec"].update(row.pod)
    return pod


def last_told(kubectl: Kubectl, namespace: str, pod: str) -> dict[str, Any]:
    """The newest whole line of a program's output."""
    lines = kubectl("logs", f"--namespace={namespace}", pod, "--tail=2").splitlines()
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def settings(namespace: str) -> list[dict[str, Any]]:
    metadata = {"name": "settings", "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "value"}},
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_is_as_it_was(snap: Snap, kubectl: Kubectl, cluster: ClusterInfo, namespace: str, row: Row) -> None:
    kubectl.apply(*settings(namespace), pod_of(row, namespace, cluster.images["webapp"]))
    kubectl.wait_ready(namespace, "source", timeout_s=60)
    frozen = await snap.freeze(namespace, "source")
    body = {"pod_name": "copy", "node_name": "node2", "engine": "runtime"}
    result = await snap.ok("POST", f"/checkpoint/{frozen['checkpoint_id']}/restore", body)
    events = kubectl("get", "events", f"--namespace={namespace}", "--field-selector=involvedObject.name=copy")
    assert result["restored"] is True, events
    kubectl("wait", "pod/copy", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=10s")
    before, after = last_told(kubectl, namespace, "source"), last_told(kubectl, namespace, "copy")
    assert (before["holds"], after["holds"], after["token"]) == (True, True, before["token"])
    if "resources" in row.container:
        assert limit_of(kubectl, cluster, namespace, "copy") == 96 << 20


def limit_of(kubectl: Kubectl, cluster: ClusterInfo, namespace: str, pod: str) -> int:
    """The memory limit of the cgroup that a pod's process is in, as its node has it; version 1 or 2."""
    node = cluster.node(kubectl.get(namespace, "pod", pod)["spec"]["nodeName"])
    lines = [line.split(":", 2) for line in kubectl.exec(namespace, pod, ["cat", "/proc/1/cgroup"]).splitlines()]
    own = {controllers: path for _, controllers, path in lines}
    file = f"memory{own['memory']}/memory.limit_in_bytes" if "memory" in own else f"{own['']}/memory.max"
    return int(node_exec(node, ["cat", f"/sys/fs/cgroup/{file.lstrip('/')}"]))
