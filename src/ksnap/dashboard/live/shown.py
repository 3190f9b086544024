"""What a reader has of a list, and the difference to what it should have. Pure.

A reader that takes out what is `deleted` and then, in the order given, puts each `added` or `modified` row at its
`index` (taking a modified one out of its old place first) has the page as a GET would answer it: rows that are not
named keep their order among each other, since what they are sorted by has not changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ksnap.dashboard.selection.query import Sort
from ksnap.dashboard.selection.shapes import Row
from ksnap.kube.watch.records import Metadata, Record

R = TypeVar("R", bound=Record)
Key = tuple[str, str]
_MARK_BYTES = 12
encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="string").encode


class Line(NamedTuple, Generic[R]):
    """A row that the reader has: of which record, and a digest of what was sent."""

    record: R
    mark: bytes


@dataclass(slots=True)
class Shown(Generic[R]):
    """The reader's page. `lines` are in the order of the list."""

    lines: dict[Key, Line[R]] = field(default_factory=dict)
    envelope: dict[str, bytes] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Names this state of the list: who comes back with it and finds the same has missed nothing."""
        digest = blake2b(digest_size=16)
        for line in self.lines.values():
            digest.update(line.mark)
        for name, content in sorted(self.envelope.items()):
            digest.update(f"{name}:{len(content)}:".encode() + content)
        return digest.hexdigest()


def difference(
    before: Shown[R],
    page: Sequence[R],
    rows: Mapping[Key, bytes],
    envelope: Mapping[str, Any],
    sorts: Sequence[Sort[R]],
) -> tuple[Shown[R], Row]:
    """What the reader has after it, and what it is told: empty if nothing. `rows` are those that were made anew."""
    after: Shown[R] = Shown(envelope={**before.envelope, **{name: encode(value) for name, value in envelope.items()}})
    changes: list[Row] = []
    for index, record in enumerate(page):
        old, row = before.lines.get(record.key), rows.get(record.key)
        if row is None:
            if old is None:
                raise ValueError("a row that the reader does not have was not made")
            after.lines[record.key] = old
            continue
        after.lines[record.key] = line = Line(record, mark(row))
        if old is None:
            changes.append({"type": "added", "index": index, "object": msgspec.Raw(row)})
        elif old.mark != line.mark or _is_moved(old.record, record, sorts):
            changes.append({"type": "modified", "index": index, "object": msgspec.Raw(row)})
    gone = [_deleted(line.record.metadata) for key, line in before.lines.items() if key not in after.lines]
    told: Row = {"changes": gone + changes} if gone or changes else {}
    for name, content in after.envelope.items():
        if before.envelope.get(name) != content:
            told[name] = msgspec.Raw(content)
    return after, told


def mark(row: bytes) -> bytes:
    return blake2b(row, digest_size=_MARK_BYTES).digest()


def _is_moved(old: R, new: R, sorts: Sequence[Sort[R]]) -> bool:
    """Whether it may stand elsewhere although nothing of it looks different."""
    return any(each.property.value(old) != each.property.value(new) for each in sorts)


def _deleted(metadata: Metadata) -> Row:
    """As much of a row as names it."""
    named = {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
    return {"type": "deleted", "object": {"objectMeta": {name: text for name, text in named.items() if text}}}
