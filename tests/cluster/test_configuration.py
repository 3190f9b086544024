"""Clusters' configuration against a real API server: the test of a connection, and agents known by TokenReview."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from ksnap.configuration.token_reviews import SERVER_AUDIENCE
from tests.parties.certificates import issue_certificate
from tests.parties.server import RunningServer, running_server
from tests.server.client import Answer, Client, fresh, open_client

AGENT = "test-agent"
pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def agents(kubectl: Kubectl, namespace: str) -> str:
    """A namespace with the agents' account in it, and one that is none."""
    kubectl("create", "serviceaccount", AGENT, f"--namespace={namespace}")
    kubectl("create", "serviceaccount", "other", f"--namespace={namespace}")
    return namespace


@pytest.fixture
def server(agents: str, tmp_path: Path) -> Iterator[RunningServer]:
    settings = {
        "KSNAP_AGENT_NAMESPACE": agents,
        "KSNAP_AGENT_SERVICE_ACCOUNT": AGENT,
        "KSNAP_RATE_LIMIT_AGENT": "600",
    }
    with running_server(tmp_path / "data", settings) as running:
        yield running


@pytest.fixture
async def admin(server: RunningServer) -> AsyncIterator[Client]:
    async with open_client(server.url, server.token) as client:
        yield client


@pytest.fixture
async def name(admin: Client, cluster: ClusterInfo) -> str:
    body = {
        "name": fresh("real"),
        "api_server_url": cluster.api_server,
        "kubeconfig_content": base64.b64encode(cluster.kubeconfig.read_bytes()).decode(),
    }
    assert (await admin.post("/config/clusters/create", body)).status == 200
    return str(body["name"])


def account_token(kubectl: Kubectl, namespace: str, account: str, *options: str) -> str:
    return kubectl("create", "token", account, f"--namespace={namespace}", *options).strip()


async def test_a_connection_is_tested_on_demand(admin: Client, name: str) -> None:
    good = await admin.post("/config/clusters/test", {"name": name})
    assert good.status == 200, good.body
    assert good.body["kubernetes_version"].startswith("v1.")
    assert good.body["missing_rights"] == []
    statistics = (await admin.get("/cluster/statistics")).body
    assert (statistics["total_clusters"], statistics["active_clusters"]) == (1, 1)


async def test_what_is_wrong_with_a_connection_is_told_apart(
    admin: Client, cluster: ClusterInfo, kubectl: Kubectl, agents: str, tmp_path: Path
) -> None:
    async def tested(**fields: object) -> Answer:
        body = {"name": fresh("token"), "api_server_url": cluster.api_server, "auth_type": "token", **fields}
        assert (await admin.post("/config/clusters/create", body)).status == 200
        return await admin.post("/config/clusters/test", {"name": body["name"]})

    ca, token = cluster.ca_file.read_text(), account_token(kubectl, agents, "other")
    poor = await tested(token=token, ca_cert=ca)
    assert poor.status == 200
    assert "create pods" in poor.body["missing_rights"]
    refused = await tested(token="no-token-4711", ca_cert=ca)
    assert (refused.status, refused.code) == (502, "CLUSTER_CONNECTION_FAILED")
    assert "credentials" in refused.body["error"]
    assert "4711" not in refused.text
    for wrong_ca in ("", issue_certificate(tmp_path).ca_pem):
        untrusted = await tested(token=token, ca_cert=wrong_ca)
        assert (untrusted.status, untrusted.code) == (502, "CLUSTER_CONNECTION_FAILED")
        assert "certificate" in untrusted.body["error"]
    assert (await tested(token=token, verify_ssl=False)).status == 200


async def test_an_agent_is_who_its_cluster_says(
    admin: Client, server: RunningServer, name: str, kubectl: Kubectl, agents: str
) -> None:
    audience = f"--audience={SERVER_AUDIENCE}"
    node = ("--bound-object-kind=Node", "--bound-object-name=node1")
    bound = account_token(kubectl, agents, AGENT, audience, *node)
    async with open_client(server.url, bound) as agent:
        answer = await agent.post("/cluster/status/report", report(name, "node1"))
        assert answer.status == 200, answer.body
        assert answer.headers["X-RateLimit-Limit"] == "600"
        others = await agent.post("/cluster/status/report", report(name, "node2"))
        assert (others.status, others.code) == (403, "PERMISSION_DENIED")
        for path in ("/checkpoint/list", "/config/clusters/list", "/metrics", "/cluster/statistics"):
            refused = await agent.get(path)
            assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    refused_tokens = {
        "another account": account_token(kubectl, agents, "other", audience),
        "another audience": account_token(kubectl, agents, AGENT),
        "a broken signature": bound[:-8] + "AAAAAAAA",
    }
    for why, token in refused_tokens.items():
        async with open_client(server.url, token) as stranger:
            answer = await stranger.post("/cluster/status/report", report(name, "node1"))
            assert (answer.status, answer.code) == (401, "AUTHENTICATION_FAILED"), why
    status = await admin.get(f"/cluster/status/{name}")
    assert [each["name"] for each in status.body["nodes"]] == ["node1"]


async def test_with_several_clusters_an_agent_names_its_own(
    admin: Client, server: RunningServer, name: str, kubectl: Kubectl, agents: str
) -> None:
    other = {"name": fresh("other"), "api_server_url": "https://127.0.0.1:9", "auth_type": "token", "token": "t"}
    assert (await admin.post("/config/clusters/create", other)).status == 200
    token = account_token(kubectl, agents, AGENT, f"--audience={SERVER_AUDIENCE}")
    async with open_client(server.url, token) as agent:
        unnamed = await agent.post("/cluster/status/report", report(name, "node1"))
        assert unnamed.status == 401
        assert "X-Ksnap-Cluster" in unnamed.details
        named = await agent.post("/cluster/status/report", report(name, "node1"), headers={"X-Ksnap-Cluster": name})
        assert named.status == 200
        absent = await agent.post("/cluster/status/report", report(name, "node1"), headers={"X-Ksnap-Cluster": "none"})
        assert absent.status == 401
        foreign = await agent.post(
            "/cluster/status/report", report(str(other["name"]), "node1"), headers={"X-Ksnap-Cluster": name}
        )
        assert (foreign.status, foreign.code) == (403, "PERMISSION_DENIED")


def report(cluster: str, node: str) -> dict[str, Any]:
    """As upstream's agents send it (contract, section 8)."""
    checks = {"crio": "crio:crio version 1.31.2", "criu": "criu:Version: 3.19", "criu_config": "criu_config:pass"}
    return {"cluster_name": cluster, "node_name": node, "timestamp": "2026-01-01T00:00:00Z", "checks": checks}
