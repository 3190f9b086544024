"""Points of time series as they go out (contract, sections 8 and 15)."""

from datetime import UTC, datetime

import msgspec


class MetricPoint(msgspec.Struct, frozen=True, gc=False):
    timestamp: str
    value: int


class DataPoint(msgspec.Struct, frozen=True, gc=False):
    x: int
    """Unix seconds."""
    y: int


def timestamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
