"""The development cluster for tests: brought up if it is not, shared by all, left up for the next run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import info
from dev.cluster.errors import NotUpError
from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.namespaces import own_namespace

REPOSITORY = Path(__file__).parents[2]
COLD_UP_S = 1800
"""A bare machine builds Kubernetes first."""

# A session of aiohttp does not wait for connections that were closed before it: where one is given up in the middle,
# asyncio goes on with its TLS goodbye until an API server or a kubelet has answered that, and they may be slow. Our own
# parties end theirs at once, so that everywhere else a transport that is left over is a leak.
LATE_GOODBYE = (
    "ignore:Exception ignored in. <function _SelectorTransport.__del__:pytest.PytestUnraisableExceptionWarning"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings(LATE_GOODBYE))


@pytest.fixture(scope="session")
def cluster() -> ClusterInfo:
    """The running cluster, started if need be."""
    try:
        return info.load()
    except NotUpError:
        subprocess.run([sys.executable, "-m", "dev.cluster", "up"], check=True, cwd=REPOSITORY, timeout=COLD_UP_S)
    return info.load()


@pytest.fixture(scope="session")
def kubectl(cluster: ClusterInfo) -> Kubectl:
    """kubectl as the cluster's administrator."""
    return Kubectl(cluster)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own, ready for pods; it goes with the test."""
    with own_namespace(kubectl) as name:
        yield name
