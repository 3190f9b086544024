"""What the kinds without workloads share: details that are their list's row with a few fields more. Pure."""

from typing import Any, TypeVar

from ksnap.dashboard.kinds.common import Json, row_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)
_NOTHING = Around("", {})


def detail_of(kind: Kind[R], found: Json, **more: Any) -> Row:
    """The object's row, what its detail shows beyond it, and no errors yet. For rows that look at nothing else."""
    return {**row_of(kind, found, _NOTHING), **more, "errors": []}


def no_more(_record: Record, _around: Around) -> Row:
    """The row of a kind whose list shows its metadata alone."""
    return {}
