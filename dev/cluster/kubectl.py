"""kubectl as an administrator of the cluster: for tests, demo and benchmarks, which want answers rather than text."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dev.cluster.commands import run
from dev.cluster.errors import CommandError
from dev.cluster.info import ClusterInfo, node_exec

DUMP_TRIES = 5
"""A readiness probe whose connection is open at the moment of a dump makes it fail; the next moment is another one."""

KUBELET_START_S = 60


class Kubectl:
    """Calls kubectl with the cluster's own kubeconfig, whatever the environment says."""

    def __init__(self, cluster: ClusterInfo) -> None:
        self.cluster = cluster
        self._env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}

    def __call__(self, *words: str, stdin: str | None = None, timeout_s: float = 30) -> str:
        """Run it and return what it printed; an exit code other than 0 is an error that quotes its stderr."""
        return run([self.cluster.tools["kubectl"], *words], stdin=stdin, timeout_s=timeout_s, env=self._env)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Create or change objects, in this order."""
        self("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def get(self, namespace: str, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self("get", kind, name, f"--namespace={namespace}", "--output=json"))
        return found

    def wait_ready(self, namespace: str, *pods: str, timeout_s: float = 60) -> None:
        """Wait until pods are Ready; if they are not in time, say how they stand instead."""
        names = [f"pod/{pod}" for pod in pods]
        where = f"--namespace={namespace}"
        try:
            self(
                "wait", where, "--for=condition=Ready", f"--timeout={timeout_s:.0f}s", *names, timeout_s=timeout_s + 10
            )
        except CommandError as error:
            events = self("get", "events", where, "--sort-by=.lastTimestamp")
            raise CommandError(f"{error}\n{self('get', 'pods', where, '--output=wide')}\n{events}") from error

    def exec(self, namespace: str, pod: str, argv: Sequence[str], *, container: str | None = None) -> str:
        """Run a command in a container."""
        chosen = [f"--container={container}"] if container else []
        return self("exec", f"--namespace={namespace}", pod, *chosen, "--", *argv)

    def fetch(self, namespace: str, pod: str, *, port: int = 8080, path: str = "/") -> dict[str, Any]:
        """Ask a web app in a pod, from inside of it."""
        answer: dict[str, Any] = json.loads(
            self.exec(namespace, pod, ["wget", "-q", "-O", "-", f"http://127.0.0.1:{port}{path}"])
        )
        return answer

    def checkpoint(self, namespace: str, pod: str, container: str, *, timeout_s: float = 60) -> Path:
        """Let the kubelet freeze a container; returns the archive as the host reaches it. The caller deletes it."""
        node = self.cluster.node(self.get(namespace, "pod", pod)["spec"]["nodeName"])
        path = f"/api/v1/nodes/{node.name}/proxy/checkpoint/{namespace}/{pod}/{container}"
        tries = 1
        while True:
            try:
                answer = json.loads(self("create", "--raw", path, "--filename=-", stdin="", timeout_s=timeout_s))
            except CommandError:
                if tries == DUMP_TRIES:
                    raise
                tries += 1
                time.sleep(0.3)
            else:
                return node.path(answer["items"][0])

    def restart_containerd(self, node_name: str) -> None:
        """End containerd on a node; its supervisor starts it again."""
        node_exec(self.cluster.node(node_name), ["pkill", "--exact", "containerd"])

    def restart_kubelet(self, node_name: str) -> None:
        """End the kubelet of a node, and wait until the one that its supervisor starts has its node's pods."""
        node = self.cluster.node(node_name)
        former = node_exec(node, ["pgrep", "--exact", "kubelet"])
        node_exec(node, ["pkill", "--exact", "kubelet"])
        until = time.monotonic() + KUBELET_START_S
        while not self._has_pods(node_name, former):
            if time.monotonic() > until:
                raise CommandError(f"the kubelet of {node_name} was not back within {KUBELET_START_S} s")
            time.sleep(0.2)

    def _has_pods(self, node_name: str, former: str) -> bool:
        try:
            if node_exec(self.cluster.node(node_name), ["pgrep", "--exact", "kubelet"]) == former:
                return False
            return '"name"' in self("get", "--raw", f"/api/v1/nodes/{node_name}/proxy/pods")
        except CommandError:
            return False
