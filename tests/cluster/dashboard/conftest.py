"""One server for all tests of this folder, with the development cluster as its default cluster, and its clients."""

import base64
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, configure, open_dashboard
from tests.cluster.namespaces import own_namespace
from tests.parties.server import RunningServer, running_server


@pytest.fixture(scope="session")
def dashboard_server(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Tests that stop or reconfigure a server start one of their own."""
    with running_server(tmp_path_factory.mktemp("dashboard") / "data") as server:
        kubeconfig = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
        configure(server, "dev", api_server_url=cluster.api_server, kubeconfig_content=kubeconfig)
        yield server


@pytest.fixture
async def dashboard(dashboard_server: RunningServer) -> AsyncIterator[Dashboard]:
    """The administrator's client; `dashboard.as_token(...)` is another caller's."""
    async with open_dashboard(dashboard_server.url, dashboard_server.token) as client:
        yield client


@pytest.fixture(scope="module")
def module_namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the module's own, ready for pods."""
    with own_namespace(kubectl) as name:
        yield name


@pytest.fixture(scope="module")
def administrators_may_all(kubectl: Kubectl) -> Iterator[None]:
    """What the chart binds by default: ksnap's administrators are the cluster's. For modules that write as a login."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", "--group=ksnap:administrator")
    yield
    kubectl("delete", "clusterrolebinding", name)
