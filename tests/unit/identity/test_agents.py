"""Agents' tokens, with a reviewer that answers from a dictionary: who is believed, and for how long without asking."""

import pytest

from ksnap.errors import ClusterConnectionFailed, NotAuthenticated
from ksnap.identity.agents import Agents, ReviewedAccount
from ksnap.identity.principal import Principal, Role

AGENT = "system:serviceaccount:ksnap:ksnap-agent"


class Reviewer:
    """Knows some tokens of some clusters, and counts the questions."""

    def __init__(self, *clusters: str) -> None:
        self.clusters = list(clusters)
        self.known: dict[tuple[str, str], ReviewedAccount] = {}
        self.asked = 0
        self.away = False

    async def review_token(self, cluster: str, token: str) -> ReviewedAccount | None:
        self.asked += 1
        if self.away:
            raise ClusterConnectionFailed("The API server is unreachable")
        return self.known.get((cluster, token))

    async def cluster_names(self) -> list[str]:
        return self.clusters


async def principal(reviewer: Reviewer, token: str, cluster: str = "", agents: Agents | None = None) -> Principal:
    asked = agents or Agents(reviewer, namespace="ksnap", service_account="ksnap-agent")
    return await asked.principal(token, cluster, address="192.0.2.1", request_id="r")


async def test_the_agents_account_is_an_agent_of_its_cluster_and_node() -> None:
    reviewer = Reviewer("prod")
    reviewer.known["prod", "t"] = ReviewedAccount(AGENT, "node1")
    assert await principal(reviewer, "t") == Principal(
        "agent:prod/node1", Role.AGENT, "192.0.2.1", "r", cluster="prod", node="node1"
    )


@pytest.mark.parametrize(
    "username",
    ["system:serviceaccount:other:ksnap-agent", "system:serviceaccount:ksnap:other", "ksnap-agent", "", AGENT + "x"],
)
async def test_any_other_account_is_refused(username: str) -> None:
    reviewer = Reviewer("prod")
    reviewer.known["prod", "t"] = ReviewedAccount(username)
    with pytest.raises(NotAuthenticated):
        await principal(reviewer, "t")


@pytest.mark.parametrize("clusters", [[], ["a", "b"]])
async def test_without_a_name_there_must_be_one_cluster(clusters: list[str]) -> None:
    reviewer = Reviewer(*clusters)
    with pytest.raises(NotAuthenticated) as caught:
        await principal(reviewer, "t")
    assert "X-Ksnap-Cluster" in caught.value.details
    assert reviewer.asked == 0


async def test_one_clusters_token_is_no_others() -> None:
    reviewer = Reviewer("a", "b")
    reviewer.known["a", "t"] = ReviewedAccount(AGENT)
    assert (await principal(reviewer, "t", "a")).cluster == "a"
    with pytest.raises(NotAuthenticated):
        await principal(reviewer, "t", "b")


async def test_an_answer_is_remembered_and_a_failure_is_not() -> None:
    reviewer = Reviewer("prod")
    reviewer.known["prod", "good"] = ReviewedAccount(AGENT)
    agents = Agents(reviewer, namespace="ksnap", service_account="ksnap-agent")
    for _ in range(3):
        await principal(reviewer, "good", agents=agents)
        with pytest.raises(NotAuthenticated):
            await principal(reviewer, "bad", agents=agents)
    assert reviewer.asked == 2
    reviewer.away = True
    with pytest.raises(ClusterConnectionFailed):
        await principal(reviewer, "new", agents=agents)
    reviewer.away = False
    with pytest.raises(NotAuthenticated):
        await principal(reviewer, "new", agents=agents)
