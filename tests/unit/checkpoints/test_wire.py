"""Errors cross a database and stay themselves; what could not be undone is told."""

import pytest

from ksnap.checkpoints.undoing import leftover, with_leftovers
from ksnap.checkpoints.wire import from_wire, to_wire
from ksnap.errors import CheckpointTimedOut, Conflict, ImagePushFailed, JobCancelled, KsnapError, NotFound


@pytest.mark.parametrize("kind", [CheckpointTimedOut, Conflict, ImagePushFailed, NotFound])
def test_an_error_stays_itself(kind: type[KsnapError]) -> None:
    again = from_wire(to_wire(kind("failed", details="on this", hint="do that", output="its words")))
    assert type(again) is kind
    assert (again.message, again.details, again.hint, again.output) == ("failed", "on this", "do that", "its words")


def test_a_cancelled_job_is_told_from_a_conflict() -> None:
    assert type(from_wire(to_wire(JobCancelled("stop")), cancelled=True)) is JobCancelled


def test_foreign_text_does_not_travel() -> None:
    wire = to_wire(ValueError("password=hunter2"))
    assert (wire.code, wire.details) == ("INTERNAL_ERROR", "ValueError")


def test_what_no_database_takes_is_left_out() -> None:
    """A NUL fails in PostgreSQL, half a character in both."""
    wire = to_wire(ImagePushFailed("a\0b", details="HTTP 500 \ud800c", hint="d\0"))
    assert (wire.message, wire.details, wire.hint) == ("ab", "HTTP 500 ?c", "d")


async def test_what_stays_behind_is_told_and_nothing_else_is_lost() -> None:
    async def fails() -> None:
        raise ImagePushFailed("The registry refuses")

    async def works() -> None:
        pass

    left = [await leftover("registry", fails()), await leftover("node", works())]
    error = with_leftovers(Conflict("first", details="that", output="its words"), left)
    assert isinstance(error, Conflict)
    assert error.output == "its words"
    assert error.details == "that. Not everything could be removed (registry: The registry refuses)"


async def test_a_configuration_that_is_gone_is_not_taken_for_a_clean_place() -> None:
    async def gone() -> None:
        raise NotFound("Registry not found", details="no registry named 'r'")

    assert await leftover("registry", gone()) == "registry: Registry not found, no registry named 'r'"
