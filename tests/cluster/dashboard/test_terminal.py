"""Terminals in real pods, over a plain WebSocket (contract dashboard-api, section 9; checks 2 to 5 of section 18)."""

import hashlib
from collections.abc import Iterator

import aiohttp
import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.terminal import (
    RULES,
    Terminal,
    connected,
    gone,
    idle_pod,
    once_it_is,
    opened,
    shell_in,
)

SLEEP = ("sleep", "100000")
STUBBORN = "import signal, time; [signal.signal(each, signal.SIG_IGN) for each in (1, 2, 3, 15)]; time.sleep(4711)"


@pytest.fixture(scope="module")
def token(cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str) -> Iterator[str]:
    """Of an account that may do what terminals need, in a namespace with a pod of each kind."""
    pods = {"debian": ("debian-python", SLEEP), "busybox": ("counter", SLEEP), "nothing": ("pause", ())}
    kubectl.apply(*(idle_pod(cluster, module_namespace, name, *what) for name, what in pods.items()))
    kubectl.wait_ready(module_namespace, *pods)
    with account(kubectl, module_namespace, rules=RULES) as token:
        yield token


@pytest.fixture
def caller(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


async def test_a_shell(caller: Dashboard, module_namespace: str) -> None:
    session_id = await opened(caller, module_namespace, "debian", "bash")
    assert len(session_id) == 32
    async with connected(caller, session_id) as terminal:
        await terminal.bind(session_id)
        await terminal.resize(33, 101)
        await terminal.type(f"{once_it_is('33 101')}; echo $((6*7))\r")
        await terminal.shows("42")
        await terminal.resize(0, 0)
        await terminal.resize(44, 90)
        await terminal.type(f"{once_it_is('44 90')}; echo $((7*7))\r")
        await terminal.shows("49")
        await terminal.type("exit 3\r")
        assert await terminal.ends() == (1, "Process exited")
    assert set(terminal.messages[0]) == {"Op", "Data", "SessionID", "Rows", "Cols"}
    assert terminal.toasts == ["Connection established"]


async def test_a_container_with_sh_alone(caller: Dashboard, module_namespace: str) -> None:
    """Check 2: what is typed while bash is tried, and the size, are for sh; no other shell starts after it."""
    async with shell_in(caller, module_namespace, "busybox") as terminal:
        await terminal.type("e")
        await terminal.resize(51, 82)
        await terminal.type(f"xpr 1000 + 234; {once_it_is('51 82')}; echo $((6*7))\r")
        await terminal.shows("1234")
        await terminal.shows("42")
        await terminal.type("exit 3\r")
        assert await terminal.ends() == (1, "Process exited")
    assert terminal.toasts == ["bash could not be started: the next shell is tried", "Connection established"]


async def test_a_shell_that_is_missing(caller: Dashboard, module_namespace: str) -> None:
    async with shell_in(caller, module_namespace, "busybox", "bash") as terminal:
        code, reason = await terminal.ends()
    assert (code, terminal.toasts) == (2, [])
    assert "Internal error occurred" in reason


async def test_an_image_without_any_shell(caller: Dashboard, module_namespace: str) -> None:
    async with shell_in(caller, module_namespace, "nothing") as terminal:
        code, _ = await terminal.ends()
    assert code == 2
    assert [each.split()[0] for each in terminal.toasts] == ["bash", "sh", "powershell"]


async def test_a_debug_container_for_an_image_without_a_shell(
    caller: Dashboard, cluster: ClusterInfo, module_namespace: str
) -> None:
    path = f"/pod/{module_namespace}/nothing/shell/app"
    image = cluster.images["counter"]
    assert (await caller.call("GET", path, query={"debug": image})).status == 400
    assert (await caller.call("POST", path, {})).status == 400, "no image is named"
    answer = await caller.call("POST", path, {}, query={"debug": image, "shell": "sh"})
    assert answer.status == 200, answer
    async with connected(caller, answer.body["id"]) as terminal:
        await terminal.bind(answer.body["id"])
        await terminal.is_told("Debug container is ready")
        await terminal.type("cat /proc/1/comm\r")
        await terminal.shows("pause")
        await terminal.type("exit\r")
        assert await terminal.ends() == (1, "Process exited")


async def test_what_is_refused_before_there_is_a_session(
    dashboard: Dashboard, caller: Dashboard, cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str
) -> None:
    kubectl.apply(
        {
            **idle_pod(cluster, module_namespace, "later", "pause"),
            "spec": {"nodeName": "none-such", "containers": [{"name": "app", "image": "x"}]},
        }
    )
    below = f"/pod/{module_namespace}"
    assert (await caller.get(f"{below}/none/shell/app")).status == 404
    assert (await caller.get(f"{below}/debian/shell/other")).status == 404
    assert (await caller.get(f"{below}/later/shell/app")).status == 409
    assert (await caller.get(f"{below}/Not_A_Name/shell/app")).status == 400
    assert (await dashboard.as_token("").get(f"{below}/debian/shell/app")).status == 401
    for rules in ([rule("pods", "get")], [rule("pods", "get"), rule("pods/exec", "create")]):
        with account(kubectl, module_namespace, rules=rules) as token:
            refused = await dashboard.as_token(token).get(f"{below}/debian/shell/app")
            assert (refused.status, refused.text[:11]) == (403, "forbidden: ")


async def test_one_may_exec_without_reading_pods(
    dashboard: Dashboard, kubectl: Kubectl, token: str, module_namespace: str
) -> None:
    with account(kubectl, module_namespace, rules=[rule("pods/exec", "get", "create")]) as own:
        async with shell_in(dashboard.as_token(own), module_namespace, "debian") as terminal:
            await terminal.type("exit\r")
            assert await terminal.ends() == (1, "Process exited")


async def test_an_id_is_good_for_one_bind(caller: Dashboard, module_namespace: str) -> None:
    """Check 3."""
    session_id = await opened(caller, module_namespace, "debian")
    async with connected(caller, session_id) as first, connected(caller, session_id) as second:
        await first.bind(session_id)
        await first.is_told("Connection established")
        await second.bind(session_id)
        assert await second.ends() == (3, "Session not found or expired")
        await first.type("echo $((2*21))\r")
        await first.shows("42")


async def test_ids_that_are_none(caller: Dashboard, module_namespace: str) -> None:
    async with connected(caller, "0" * 32) as terminal:
        await terminal.bind("0" * 32)
        assert (await terminal.ends())[0] == 3
    session_id = await opened(caller, module_namespace, "debian")
    async with connected(caller, "0" * 32) as terminal:
        await terminal.bind(session_id)
        assert (await terminal.ends())[0] == 3, "the path names another session"
    async with connected(caller, session_id) as terminal:
        await terminal.type("ls\r")
        assert await terminal.ends() == (4, "Protocol error: the first message is not bind")


async def test_a_token_that_comes_along_must_be_the_openers(
    caller: Dashboard, module_namespace: str, token: str
) -> None:
    session_id = await opened(caller, module_namespace, "debian")
    for headers in ({"Authorization": "Bearer other"}, {"Cookie": "token=other"}):
        async with connected(caller, session_id, **headers) as terminal:
            await terminal.bind(session_id)
            assert (await terminal.ends())[0] == 3
    async with connected(caller, session_id, Authorization=f"Bearer {token}", Cookie=f"token={token}") as terminal:
        await terminal.bind(session_id)
        await terminal.is_told("Connection established")


async def test_pages_of_other_origins_do_not_connect(caller: Dashboard) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(caller, "0" * 32, Origin="https://elsewhere.example"):
            pass
    assert refused.value.status == 403


async def test_some_bad_messages_are_forgiven(caller: Dashboard, module_namespace: str) -> None:
    async with shell_in(caller, module_namespace, "debian") as terminal:
        await terminal.is_told("Connection established")
        await terminal.socket.send_str("no JSON")
        await terminal.send(Op="dance")
        await terminal.send(Op="resize", Rows=70000, Cols=1)
        await terminal.type("echo $((2*21))\r")
        await terminal.shows("42")
        await terminal.send(Op="bind", SessionID="x")
        assert await terminal.ends() == (4, "Protocol error: the session is bound already")
    assert len([each for each in terminal.toasts if "ignored" in each]) == 3


async def test_a_long_paste_arrives_whole(caller: Dashboard, module_namespace: str) -> None:
    """Check 5, and a paste of 1 MB: in messages of 200 KiB."""
    pasted = "".join(f"{number:07}äß\r" for number in range(100_000))
    size = len(pasted.encode())
    digest = hashlib.sha256(pasted.encode()).hexdigest()
    async with shell_in(caller, module_namespace, "debian") as terminal:
        await terminal.type(f"stty raw -echo; echo re''ady; head -c {size} | sha256sum; stty sane\r")
        await terminal.shows("ready")
        for at in range(0, len(pasted), 200 * 1024):
            await terminal.type(pasted[at : at + 200 * 1024])
        await terminal.shows(digest)


async def test_characters_are_whole(caller: Dashboard, module_namespace: str) -> None:
    """Check 5: a megabyte of characters of three bytes, one whose bytes come one by one, and a byte that is none."""
    async with shell_in(caller, module_namespace, "debian") as terminal:
        await terminal.type("printf '%*s' 350000 '' | sed 's/ /€/g'; echo do''ne\r")
        await terminal.shows("done")
        assert terminal.output.count("€") == 350001  # with the one that was typed
        assert "\N{REPLACEMENT CHARACTER}" not in terminal.output
        await terminal.type(r"printf '<\xe2'; sleep 0.2; printf '\x82'; sleep 0.2; printf '\xac><\xff>'" + "\r")
        await terminal.shows("<€><\N{REPLACEMENT CHARACTER}>")


async def test_what_runs_ends_with_its_client(caller: Dashboard, kubectl: Kubectl, module_namespace: str) -> None:
    """Check 4, with a program that does as it is told, and with one that ignores every request to end."""
    async with shell_in(caller, module_namespace, "debian") as terminal:
        await _start(terminal, "sleep 4712")
    async with shell_in(caller, module_namespace, "debian", "sh") as terminal:
        await _start(terminal, f"python3 -c '{STUBBORN}'")
    async with shell_in(caller, module_namespace, "busybox") as terminal:
        await _start(terminal, "trap '' INT HUP TERM QUIT; cat; while true; do sleep 4713; done")
    for pod, words in (("debian", "sleep 4712"), ("debian", "sleep(4711)"), ("busybox", "sleep 4713")):
        await gone(kubectl, module_namespace, pod, words, within_s=15)


async def _start(terminal: Terminal, command: str) -> None:
    await terminal.is_told("Connection established")
    await terminal.type(f"echo st''arted; {command}\r")
    await terminal.shows("started")


async def test_a_pod_that_is_deleted(
    caller: Dashboard, cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str
) -> None:
    kubectl.apply(idle_pod(cluster, module_namespace, "doomed", "debian-python", SLEEP))
    kubectl.wait_ready(module_namespace, "doomed")
    async with shell_in(caller, module_namespace, "doomed") as terminal:
        await terminal.is_told("Connection established")
        kubectl("--namespace", module_namespace, "delete", "pod", "doomed", "--wait=false")
        assert await terminal.ends() == (5, "Session closed by server")
    assert terminal.toasts[-1] == "The pod was deleted"
