"""Identifiers and names of checkpoints: made here. Pure.

A checkpoint's path is an opaque handle: its last component is the file name for downloads, and nothing on a disk is
ever opened by it.
"""

from datetime import datetime


def new_id(now: datetime, randomness: bytes) -> str:
    """20 hex digits: the time in milliseconds first, so that ids sort by age, then 32 random bits."""
    return f"{int(now.timestamp() * 1000):012x}{randomness[:4].hex()}"


def archive_filename(*, pod: str, namespace: str, container: str, at: datetime, checkpoint_id: str) -> str:
    """The archive's file name; unique, since pods of one name may live in many clusters."""
    return f"checkpoint-{pod}_{namespace}-{container}-{at:%Y%m%dt%H%M%Sz}-{checkpoint_id[-8:]}.tar"


def checkpoint_path(*, cluster: str, namespace: str, pod: str, filename: str) -> str:
    """The handle of the contract's `checkpoint_path`."""
    return f"/checkpoints/{cluster}/{namespace}/{pod}/{filename}"


def blob_name(checkpoint_id: str) -> str:
    """Where a checkpoint's archive lies in the blob store."""
    return f"archives/{checkpoint_id}.tar.zst"
