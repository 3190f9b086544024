"""Which checkpoints go: literals for each bound, and what holds whatever the policies say."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ksnap.checkpoints.retention.rules import Candidate, Per, Policy, Reason, doomed
from ksnap.model.checkpoint_key import Workload

NOW = datetime(2026, 11, 28, tzinfo=UTC)
WEB = Workload("prod", "shop", "Deployment/web", "app")
API = Workload("prod", "shop", "Deployment/api", "app")
OTHER = Workload("test", "shop", "Deployment/web", "app")


def one(
    number: int, workload: Workload = WEB, *, size: int = 10, complete: bool = True, pinned: bool = False
) -> Candidate:
    """A checkpoint that is `number` days old."""
    return Candidate(f"{number:04}", workload, NOW - timedelta(days=number), size, complete, pinned)


def ids(policies: list[Policy], candidates: list[Candidate]) -> list[str]:
    return [each.candidate.id for each in doomed(policies, candidates, NOW)]


def test_the_last_few_of_each_workload_stay() -> None:
    found = [one(day) for day in range(5)] + [one(day + 100, API) for day in range(2)]
    assert ids([Policy("few", keep_last=2)], found) == ["0004", "0003", "0002"]


def test_count_over_a_namespace() -> None:
    found = [one(0), one(2, API), one(3), one(4, OTHER)]
    assert ids([Policy("few", per=Per.NAMESPACE, keep_last=1, keep_newest=False)], found) == ["0003", "0002"]


def test_age_takes_failed_ones_too_and_spares_the_newest() -> None:
    found = [one(40), one(41), one(42, complete=False), one(5, API)]
    policy = Policy("month", max_age=timedelta(days=30))
    assert ids([policy], found) == ["0042", "0041"]
    assert ids([Policy("month", max_age=timedelta(days=30), keep_newest=False)], found) == ["0042", "0041", "0040"]


def test_size_takes_the_oldest_first() -> None:
    found = [one(1, size=60), one(2, API, size=30), one(3, size=30), one(4, API, size=5)]
    policy = Policy("small", per=Per.CLUSTER, max_bytes=100)
    assert [(each.candidate.id, each.reason) for each in doomed([policy], found, NOW)] == [
        ("0004", Reason.SIZE),
        ("0003", Reason.SIZE),
    ]


def test_a_pin_holds_and_counts() -> None:
    found = [one(1), one(2, pinned=True), one(3)]
    assert ids([Policy("one", keep_last=1, keep_newest=False)], found) == ["0003"]
    assert ids([Policy("none", max_bytes=0, keep_newest=False)], found) == ["0003", "0001"]


def test_a_scope_leaves_the_rest_alone() -> None:
    found = [one(1), one(2), one(3, OTHER), one(4, OTHER)]
    assert ids([Policy("one", cluster="test", keep_last=1)], found) == ["0004"]
    assert ids([Policy("one", owner="Deployment/api", keep_last=1)], found) == []


def test_each_is_told_once_by_the_first_policy_that_takes_it() -> None:
    found = [one(1), one(50)]
    told = doomed([Policy("age", max_age=timedelta(days=9)), Policy("count", keep_last=1)], found, NOW)
    assert [(each.policy, each.reason) for each in told] == [("age", Reason.AGE)]


WORKLOADS = st.sampled_from([WEB, API, OTHER])
CANDIDATES = st.lists(
    st.tuples(WORKLOADS, st.integers(0, 99), st.integers(0, 50), st.booleans(), st.booleans()), max_size=30
).map(
    lambda rows: [
        Candidate(f"{number:04}", workload, NOW - timedelta(days=age), size, complete, pinned)
        for number, (workload, age, size, complete, pinned) in enumerate(rows)
    ]
)
POLICIES = st.lists(
    st.builds(
        Policy,
        name=st.just("p"),
        cluster=st.sampled_from(["", "prod"]),
        per=st.sampled_from(Per),
        keep_last=st.none() | st.integers(0, 5),
        max_age=st.none() | st.integers(0, 60).map(lambda days: timedelta(days=days)),
        max_bytes=st.none() | st.integers(0, 300),
        keep_newest=st.booleans(),
    ),
    max_size=3,
)


@given(POLICIES, CANDIDATES)
def test_whatever_the_policies(policies: list[Policy], candidates: list[Candidate]) -> None:
    gone = doomed(policies, candidates, NOW)
    taken = [each.candidate.id for each in gone]
    assert len(set(taken)) == len(taken)
    assert not any(each.candidate.is_pinned for each in gone)
    if all(each.keep_newest for each in policies):
        for workload in (WEB, API, OTHER):
            complete = [each for each in candidates if each.workload == workload and each.is_complete]
            if complete:
                assert max(complete, key=lambda each: (each.created_at, each.id)).id not in taken
    left = [each for each in candidates if each.id not in taken]
    assert doomed(policies, left, NOW) == [], "a second round finds nothing"


@given(CANDIDATES)
def test_what_is_left_fits(candidates: list[Candidate]) -> None:
    policy = Policy("p", per=Per.CLUSTER, max_bytes=100, keep_newest=False)
    taken = {each.candidate.id for each in doomed([policy], candidates, NOW)}
    for cluster in ("prod", "test"):
        left = [each for each in candidates if each.workload.cluster == cluster and each.id not in taken]
        pinned = sum(each.size_bytes for each in left if each.is_pinned and each.is_complete)
        assert sum(each.size_bytes for each in left if each.is_complete) <= max(100, pinned)
