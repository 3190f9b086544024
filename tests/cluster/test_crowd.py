"""Simulated nodes and pods in the real API server, few of them."""

import json
from typing import Any

import pytest

from dev.cluster import crowd
from dev.cluster.cache import Cache
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from dev.cluster.layout import Layout
from dev.cluster.settings import read_settings

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]


def test_a_small_crowd(cluster: ClusterInfo, kubectl: Kubectl) -> None:
    """Its nodes are Ready, its pods run or wait, and nothing is left of it."""
    settings = read_settings()
    layout = Layout(settings)

    def members(kind: str) -> list[dict[str, Any]]:
        said = kubectl("get", kind, "-A", "-l", crowd.LABEL, "-o", "json")
        return list(json.loads(said)["items"])

    try:
        crowd.up(layout, Cache(settings.cache), crowd.Crowd(nodes=3, pods=20, events=8, namespaces=2))
        kubectl("wait", "--for=condition=Ready", "nodes", "-l", crowd.LABEL, "--timeout=60s", timeout_s=70)
        assert len(members("nodes")) == 3
        phases = [each["status"]["phase"] for each in members("pods")]
        assert sorted(phases) == ["Pending"] * 2 + ["Running"] * 18
    finally:
        crowd.down(layout)
    assert members("nodes") == []
    assert members("pods") == []
