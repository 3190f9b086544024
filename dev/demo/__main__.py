"""`python -m dev.demo`: freeze a slow web app on one node, start it again on another; `stop` ends what it left running.

Exit code 0 means that the restored process answered with the token that the frozen one had made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from dev.cluster import info
from dev.cluster.commands import say
from dev.cluster.errors import ClusterError
from dev.cluster.info import ClusterInfo
from dev.cluster.settings import read_settings
from dev.cluster.workloads import webapp_pod
from dev.demo.report import Outcome, where_next
from dev.stack import agents
from dev.stack.command_line import CommandLine, log_in
from dev.stack.pods import Pods, ready_after_s
from dev.stack.server import Server

NAMESPACE = "demo"
START_S = 10
MEMORY_MB = 64
REQUESTS = 3


def main() -> int:
    """Parse, run, and turn our own errors into sentences."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("action", nargs="?", choices=["run", "stop"], default="run")
    server = Server(read_settings().state.parent / "demo")
    try:
        if parser.parse_args().action == "stop":
            server.stop()
            return 0
        return run(server)
    except (ClusterError, subprocess.TimeoutExpired) as error:
        say(f"error: {error}")
        return 1


def run(server: Server) -> int:
    """The whole demonstration, one line per step."""
    begun = time.monotonic()
    say("1/6  the cluster: two nodes (20 s; the first time about 12 min)")
    cluster = start_cluster()
    say("2/6  the agents, one per node (1 min)")
    agents.install(cluster)
    say("3/6  the server (5 s)")
    server.start()
    ksnap = log_in(server, cluster, name="demo")
    pods = Pods(cluster, NAMESPACE)
    outcome = freeze_and_restore(ksnap, pods)
    print(outcome.table())
    print(where_next(server, cluster, NAMESPACE))
    say(f"done in {time.monotonic() - begun:.0f} s")
    return 0 if outcome.same_process else 1


def start_cluster() -> ClusterInfo:
    """Bring up the cluster in a process of its own, so that its lock goes with it."""
    subprocess.run([sys.executable, "-m", "dev.cluster", "up"], check=False)
    return info.load()


def freeze_and_restore(ksnap: CommandLine, pods: Pods) -> Outcome:
    """The job itself."""
    first, second = (node.name for node in pods.cluster.nodes[:2])
    image = pods.cluster.images["webapp"]
    pods.make_namespace()
    say(f"4/6  a web app with {START_S} s of start-up and {MEMORY_MB} MB of memory, on {first} ({START_S + 3} s)")
    manifest = webapp_pod("webapp", NAMESPACE, image, node=first, memory_mb=MEMORY_MB, start_s=START_S)
    cold_s = pods.start(manifest)
    for _ in range(REQUESTS):
        source = pods.ask("webapp")
    say("5/6  freeze it, build its image, push it (3 s)")
    begun = time.monotonic()
    checkpoint = ksnap("checkpoint", "create", "webapp", "--namespace", NAMESPACE, "--cluster", "demo", "--push")
    freeze_s = time.monotonic() - begun
    say(f"6/6  start a pod from that image on {second} (3 s)")
    words = ["--name", "webapp-restored", "--namespace", NAMESPACE, "--node", second]
    restored = ksnap("restore", checkpoint["id"], *words)
    return Outcome(
        cold_s=cold_s,
        freeze_s=freeze_s,
        restored_s=ready_after_s(pods.get("webapp-restored")),
        restored=bool(restored["restored"]),
        checkpoint=checkpoint,
        source=source,
        copy=pods.ask("webapp-restored"),
        nodes=(first, second),
    )


if __name__ == "__main__":
    sys.exit(main())
