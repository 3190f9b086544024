"""Pods of one namespace of the development cluster, and the web app's own words over its pod address."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.workloads import WEBAPP_PORT


@dataclass(frozen=True, slots=True)
class Pods:
    """One namespace of the cluster."""

    cluster: ClusterInfo
    namespace: str

    def make_namespace(self) -> None:
        """Have an empty namespace: one that is left over goes first."""
        self.remove_namespace()
        self._kubectl("create", "namespace", self.namespace)

    def remove_namespace(self) -> None:
        self._kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=90s", timeout_s=100)

    def start(self, manifest: Mapping[str, Any], *, timeout_s: float = 180) -> float:
        """Create a pod, wait until it is Ready; seconds from its creation to that moment."""
        begun = time.monotonic()
        self._kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        self._kubectl.wait_ready(self.namespace, manifest["metadata"]["name"], timeout_s=timeout_s)
        return time.monotonic() - begun

    def get(self, name: str) -> dict[str, Any]:
        """The pod as the API server answers it."""
        return self._kubectl.get(self.namespace, "pod", name)

    def delete(self, *names: str) -> None:
        where = f"--namespace={self.namespace}"
        self._kubectl("delete", "pod", where, *names, "--ignore-not-found", "--timeout=60s", timeout_s=70)

    def ask(self, name: str, *, port: int = WEBAPP_PORT) -> dict[str, Any]:
        """What the web app in a pod says of itself: its token and how many requests it has answered."""
        address = self.get(name)["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as reply:
            said: dict[str, Any] = json.load(reply)
        return said

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(self.cluster)


def ready_after_s(pod: Mapping[str, Any]) -> float:
    """Seconds from a pod's creation to Ready, by the API server's clock (whole seconds)."""
    ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return (datetime.fromisoformat(ready["lastTransitionTime"]) - created).total_seconds()
