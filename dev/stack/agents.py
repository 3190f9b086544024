"""The agents, installed as a user would: the chart by helm, the image built from this tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.cluster import agent_image
from dev.cluster.cache import Cache
from dev.cluster.commands import run, say
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import read_settings
from dev.cluster.tools import tool

CHART = Path(__file__).parents[2] / "charts" / "ksnap"
NAMESPACE = "ksnap"


def install(cluster: ClusterInfo, *, node_setup: bool = True, more: Mapping[str, Any] | None = None) -> None:
    """Have this tree's agents run on every node; a no-op where they do. The web app is frozen with its probes' open
    connections, so the agents are told to set the two CRIU options that this takes. `node_setup` lets the nodes restore
    below containerd, too; it restarts containerd once. `more` are values of the chart beside these."""
    cache = Cache(read_settings().cache)
    image = agent_image.ensure(cluster, cache)
    helm = tool("helm")
    say("installing the agents by helm (about 20 s)")
    release: list[str | Path] = [
        helm,
        "upgrade",
        "--install",
        "ksnap",
        CHART,
        f"--namespace={NAMESPACE}",
        "--create-namespace",
    ]
    repository, _, digest = image.partition("@")
    values = {
        "image.repository": repository,
        "image.digest": digest,
        "criu.tcpClose": "true",
        "criu.skipInFlight": "true",
        "nodeSetup.enabled": str(node_setup).lower(),
    }
    chosen = [f"--set={name}={value}" for name, value in values.items()]
    rest = ["--values=-", "--wait", "--timeout=180s", f"--kubeconfig={cluster.kubeconfig}"]
    run([*release, *chosen, *rest], stdin=json.dumps(more or {}), timeout_s=240)
    # Helm takes a DaemonSet for ready when all but `maxUnavailable` of its pods are.
    for name in ("agent", *(["node-setup"] if node_setup else [])):
        rollout = ("rollout", "status", f"daemonset/ksnap-{name}", f"--namespace={NAMESPACE}", "--timeout=180s")
        Kubectl(cluster)(*rollout, timeout_s=190)
