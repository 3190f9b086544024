"""What an undone capture's state says of what it left."""

import pytest

from ksnap.checkpoints.checkpoint_job import check_undone
from ksnap.errors import KsnapError, NotFound, Unavailable
from ksnap.node.protocol import CaptureState, CaptureStatus, Stage

DIGEST = "sha256:" + "1" * 64


def state(status: CaptureStatus, **lists: list[str]) -> CaptureState:
    return CaptureState(id="a", status=status, stage=Stage.DONE, last_sequence=1, **lists)


def test_a_clean_registry_is_undone() -> None:
    check_undone(state(CaptureStatus.CANCELLED), may_pass=True)
    check_undone(state(CaptureStatus.FAILED), may_pass=False)


def test_an_image_that_was_pushed_to_its_end_is_removed_by_its_record() -> None:
    check_undone(state(CaptureStatus.SUCCEEDED, manifests=[DIGEST], uploaded_blobs=[DIGEST]), may_pass=True)


@pytest.mark.parametrize("status", [CaptureStatus.RUNNING, CaptureStatus.INTERRUPTED])
def test_what_has_not_ended_is_not_undone(status: CaptureStatus) -> None:
    with pytest.raises(Unavailable):
        check_undone(state(status), may_pass=True)


@pytest.mark.parametrize("place", ["manifests", "uploaded_blobs", "uploads"])
@pytest.mark.parametrize(("may_pass", "kind"), [(True, Unavailable), (False, NotFound)])
def test_what_is_left_in_the_registry_is_told(place: str, may_pass: bool, kind: type[KsnapError]) -> None:  # noqa: FBT001
    with pytest.raises(kind) as raised:
        check_undone(state(CaptureStatus.CANCELLED, **{place: [DIGEST]}), may_pass=may_pass)
    assert DIGEST in raised.value.details
