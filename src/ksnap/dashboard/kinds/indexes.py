"""Indexes that several kinds share."""

from typing import Any

from ksnap.kube.watch.objects import Index

BY_OWNER: Index[Any] = Index("owner", lambda record: {each.uid for each in record.metadata.owner_references})
"""By the uid of each owner."""
BY_UID: Index[Any] = Index("uid", lambda record: (record.metadata.uid,))
