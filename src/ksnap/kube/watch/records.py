"""What is kept of an object: the fields that lists need, and nothing else.

A record is frozen and shared by all readers. Its fields are named as Kubernetes' (`nodeName` is `node_name`) and each
has a default, for an object of which we understand no more than the metadata is kept with it alone. Collections are
tuples: they cannot be changed, and the garbage collector stops looking at them.
"""

from typing import Any

import msgspec
from msgspec.structs import force_setattr

from ksnap.kube.watch.strings import Strings

NOTHING: dict[str, str] = {}
"""The labels and annotations of all that have none."""
# `kubectl apply` keeps the whole object here once more; of a Secret that is its data.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """A piece of an object. Options are inherited."""


class Owner(Part, frozen=True):
    """An owner reference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Metadata(Part, frozen=True):
    """Of ObjectMeta what lists show or go by. Times are kept as Kubernetes writes them: RFC 3339 in UTC with seconds,
    so that their order is the order of the texts."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=lambda: NOTHING)
    annotations: dict[str, str] = msgspec.field(default_factory=lambda: NOTHING)
    owner_references: tuple[Owner, ...] = ()


class ListMetadata(Part, frozen=True):
    """Of a list's metadata what its reader goes by."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Record(Part, frozen=True):
    """One object. Subclasses add what their lists need (`spec`, `status`, both as parts)."""

    metadata: Metadata = Metadata()

    def settle(self, strings: Strings) -> None:
        """Called once, before anyone sees the record: share texts, work out what is derived. Extend it, calling
        `super().settle(strings)`; `keep(self, field, value)` sets a field of the frozen record."""
        metadata = self.metadata
        keep(metadata, "namespace", strings.shared(metadata.namespace))
        keep(metadata, "labels", strings.shared_dict(metadata.labels))
        keep(metadata, "annotations", strings.shared_dict(metadata.annotations))
        keep(metadata, "owner_references", strings.same(metadata.owner_references))

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name: what names the object among those of its resource."""
        return self.metadata.namespace, self.metadata.name


def keep(part: Part, field: str, value: Any) -> None:
    """Set a field while the record settles. Never later: records are shared."""
    force_setattr(part, field, value)


def without_last_applied(record: Record) -> None:
    """Drop the copy of the object that `kubectl apply` left in it."""
    annotations = record.metadata.annotations
    if LAST_APPLIED in annotations:
        keep(record.metadata, "annotations", {key: text for key, text in annotations.items() if key != LAST_APPLIED})
