"""What the refusal of an eviction means for its pod."""

import pytest

from ksnap.dashboard.writes.drain_plan import PodName
from ksnap.dashboard.writes.drain_run import PodProgress, PodState, note_refusal
from ksnap.errors import KsnapError
from ksnap.kube.failures import ClusterUnreachable, KubeRefusal

TERMINATING = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}, "message": "no"}


def refusal(status: int) -> KubeRefusal:
    return KubeRefusal(status, {"message": f"said {status}"})


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (refusal(429), PodState.WAITING),
        (refusal(409), PodState.WAITING),
        (refusal(503), PodState.WAITING),
        (ClusterUnreachable("away"), PodState.WAITING),
        (refusal(404), PodState.GONE),
        (KubeRefusal(403, TERMINATING), PodState.EVICTED),
        (refusal(403), PodState.FAILED),
        (refusal(500), PodState.FAILED),
        (refusal(401), PodState.FAILED),
    ],
)
def test_what_a_refusal_means(error: KsnapError, state: PodState) -> None:
    progress = PodProgress(PodName("ns", "a", "u"))
    note_refusal(progress, error)
    assert progress.state is state
    assert (progress.try_at > 0) is (state is PodState.WAITING)
    assert bool(progress.message) is (state is not PodState.GONE)
