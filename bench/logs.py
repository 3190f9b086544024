"""A page of 5,000 lines of a log, and the whole file: ksnap against the API server itself, and kubectl.

    python -m bench.logs [--runs 30]

All ask for the same lines of the same pod with the same token, taking turns. ksnap takes each line apart and answers
with JSON; the API server sends the kubelet's bytes on.
"""

import argparse
import asyncio
import base64
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp

from bench.report import Series, Target, series_table, targets_table, write
from dev.cluster.info import ClusterInfo, load
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import account, configure, rule
from tests.cluster.dashboard.log_followers import trust_in
from tests.cluster.dashboard.log_pods import FOREVER, container, pod, until
from tests.cluster.namespaces import own_namespace
from tests.parties.server import RunningServer, running_server

LINES = 5000
IN_ALL = 60_000
"""Some eight megabytes with timestamps: below the ten at which the kubelet begins a new file."""
WIDTH = 70
BOUND = 1.3
WARM = 3

Ask = Callable[[], Awaitable[int]]


async def measure(cluster: ClusterInfo, namespace: str, token: str, server: RunningServer, runs: int) -> list[Series]:
    """Seconds, in the order: the API server, ksnap, kubectl; then the file by the API server and by ksnap."""
    trust = trust_in(cluster)
    headers = {"Authorization": f"Bearer {token}"}
    log = f"{cluster.api_server}/api/v1/namespaces/{namespace}/pods/chatty/log"
    ours = f"{server.url}/api/v1/log"
    async with aiohttp.ClientSession(headers=headers) as session:

        async def direct(**query: str) -> int:
            async with session.get(
                log, params={"container": "app", "timestamps": "true", **query}, ssl=trust
            ) as answer:
                return (await answer.read()).count(b"\n")

        async def page() -> int:
            async with session.get(f"{ours}/{namespace}/chatty/app", params={"tailLines": str(LINES)}) as answer:
                return (await answer.read()).count(b'"timestamp":') - 1  # one is the reference's

        async def file() -> int:
            async with session.get(f"{ours}/file/{namespace}/chatty/app", params={"timestamps": "true"}) as answer:
                return (await answer.read()).count(b"\n")

        async def by_kubectl() -> int:
            words = [
                str(cluster.tools["kubectl"]),
                f"--kubeconfig={cluster.kubeconfig}",
                "-n",
                namespace,
                "logs",
                "chatty",
            ]
            done = await asyncio.to_thread(
                subprocess.run, [*words, f"--tail={LINES}", "--timestamps"], capture_output=True, check=True
            )
            return done.stdout.count(b"\n")

        pages = {"API server": lambda: direct(tailLines=str(LINES)), "ksnap": page, "kubectl logs": by_kubectl}
        files = {"API server, whole file": direct, "ksnap, whole file": file}
        return [*await _in_turns(pages, LINES, runs), *await _in_turns(files, IN_ALL, max(3, runs // 4))]


async def _in_turns(contenders: Mapping[str, Ask], lines: int, runs: int) -> list[Series]:
    series = {name: Series(name, "s") for name in contenders}
    for run in range(runs + WARM):
        for name, ask in contenders.items():
            begun = time.perf_counter()
            got = await ask()
            seconds = time.perf_counter() - begun
            if got != lines:
                raise SystemExit(
                    f"{name} gave {got} lines instead of {lines}; nothing that was measured means anything"
                )
            if run >= WARM:
                series[name].values.append(seconds)
    return list(series.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=30)
    runs: int = parser.parse_args().runs
    cluster = load()
    kubectl = Kubectl(cluster)
    rights = [rule("pods", "get"), rule("pods/log", "get")]
    kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
    with own_namespace(kubectl) as namespace, tempfile.TemporaryDirectory() as folder:
        script = f"seq 1 {IN_ALL} | sed 's/.*/line & {secrets.token_hex(WIDTH // 2)}/'; {FOREVER}"
        kubectl.apply(pod("chatty", namespace, container(cluster, script)))
        kubectl.wait_ready(namespace, "chatty")
        until(lambda: f"line {IN_ALL} " in kubectl("-n", namespace, "logs", "chatty", "--tail=1"))
        with account(kubectl, namespace, rules=rights) as token, running_server(Path(folder) / "data") as server:
            configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
            series = asyncio.run(measure(cluster, namespace, token, server, runs))
    report(series, runs)


def report(series: list[Series], runs: int) -> None:
    """Medians, and what ksnap adds to the API server's own time."""
    direct, ours, kubectl, direct_file, our_file = series
    targets = [
        Target(f"page of {LINES} lines / API server itself", ours.median / direct.median, BOUND),
    ]
    print(f"\n{series_table([direct, ours, kubectl], reference=direct)}")
    print(f"\n{series_table([direct_file, our_file], reference=direct_file)}\n\n{targets_table(targets)}")
    path = write("logs", series=series, targets=targets, about={"runs": runs, "lines": LINES, "lines_in_file": IN_ALL})
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
