"""ksnap-runc's own tests with the real runc and CRIU (runtime/e2e_test.go), run where both are: on a node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.cluster.gobuild import RUNTIME_MODULE
from dev.cluster.info import ClusterInfo, node_exec

pytestmark = [pytest.mark.timeout(420), pytest.mark.thorough]


def test_the_wrapper_restores_or_starts_cold_whatever_happens(cluster: ClusterInfo, tmp_path: Path) -> None:
    binary = tmp_path / "wrapper-tests"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    subprocess.run(
        ["go", "test", "-c", "-o", binary, "."], cwd=RUNTIME_MODULE, env=environment, check=True, timeout=300
    )
    node = cluster.node("node2")
    inside = "/opt/ksnap-wrapper-tests"
    shutil.copy2(binary, node.path(inside))
    try:
        said = node_exec(node, [inside, "-test.run=^TestReal", "-test.v"], timeout_s=300)
    finally:
        node.path(inside).unlink()
    assert "--- PASS: TestRealRestore" in said
    assert "--- SKIP" not in said
