"""Progress where there is no terminal: a line for each stage, and now and then within one."""

import pytest

from ksnap.cli.follow import job_error, outcome, step_of
from ksnap.cli.progress import LINE_EVERY_S, LineView, Step
from ksnap.errors import CheckpointTimedOut, JobCancelled, KsnapError


def test_a_stage_gets_a_line_and_its_bytes_one_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    view.show(Step("dumping"), now=0.0)
    view.show(Step("dumping"), now=1.0)
    view.show(Step("pushing", bytes_done=0, bytes_total=2000), now=2.0)
    view.show(Step("pushing", bytes_done=1000, bytes_total=2000), now=3.0)
    view.show(Step("pushing", bytes_done=1500, bytes_total=2000), now=2.0 + LINE_EVERY_S)
    assert capsys.readouterr().err.splitlines() == ["dumping", "pushing  0 B of 2.0 kB", "pushing  1.5 kB of 2.0 kB"]


def test_a_step_is_made_from_an_event() -> None:
    event = {"id": 1, "stage": "awaiting_fetch", "message": "ready", "bytes_done": 5, "bytes_total": None}
    assert step_of(event).text() == "awaiting fetch  5 B  ready"


def test_a_failed_job_is_its_error() -> None:
    error = {"code": "CHECKPOINT_FAILED", "status": 504, "message": "Too slow", "details": "web", "hint": "Wait"}
    found = job_error({"id": "j1", "error": error})
    assert isinstance(found, CheckpointTimedOut)
    assert (found.message, found.details, found.hint) == ("Too slow", "web", "Wait")
    assert type(job_error({"id": "j1", "error": None})) is KsnapError


def test_only_a_completed_job_has_an_outcome() -> None:
    assert outcome({"id": "j1", "status": "completed"})["id"] == "j1"
    with pytest.raises(JobCancelled):
        outcome({"id": "j1", "status": "cancelled"})
    error = {"code": "CONFLICT", "details": "job j1. Not everything could be removed (registry: it is away)"}
    with pytest.raises(JobCancelled) as cancelled:
        outcome({"id": "j1", "status": "cancelled", "error": error})
    assert cancelled.value.details == error["details"]
    with pytest.raises(KsnapError, match="The job failed"):
        outcome({"id": "j1", "status": "failed"})
