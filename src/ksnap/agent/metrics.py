"""The agent's figures for Prometheus. No labels that a user's objects could multiply."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

REGISTRY = CollectorRegistry()

CAPTURES = Counter("ksnap_agent_captures", "Captures that ended, by outcome", ["outcome"], registry=REGISTRY)
RUNNING = Gauge("ksnap_agent_captures_running", "Captures under way or waiting", registry=REGISTRY)
DUMP_SECONDS = Histogram(
    "ksnap_agent_dump_seconds",
    "Seconds from asking the kubelet to the written archive",
    ["engine"],
    buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    registry=REGISTRY,
)
ARCHIVE_BYTES = Counter("ksnap_agent_archive_bytes", "Bytes of archives that left the node", registry=REGISTRY)
REQUESTS = Counter("ksnap_agent_requests", "Answered requests, by status", ["status"], registry=REGISTRY)
CAN_FREEZE = Gauge("ksnap_agent_checkpointing_enabled", "1 if the last probe froze a container", registry=REGISTRY)

RESTORES = Counter(
    "ksnap_restores", "Starts of annotated containers, by outcome and reason", ["outcome", "reason"], registry=REGISTRY
)
RESTORE_SECONDS = Histogram(
    "ksnap_restore_seconds",
    "Seconds of a restore, by part; fetch and unpack are those of an image's pull",
    ["part"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)
RESTORED_ENDS = Counter(
    "ksnap_restored_ends",
    "Restored containers that ended: crashed or signalled soon after the restore, or proven good by living on",
    ["reason"],
    registry=REGISTRY,
)
IMAGE_PULLS = Counter(
    "ksnap_agent_image_pulls", "Pulls of images that ended, by outcome", ["outcome"], registry=REGISTRY
)
IMAGE_CACHE_BYTES = Gauge("ksnap_agent_image_cache_bytes", "Bytes of unpacked images on this node", registry=REGISTRY)
IMAGE_EVICTIONS = Counter("ksnap_agent_image_evictions", "Images removed to make room for others", registry=REGISTRY)


def exposition() -> bytes:
    """The text format."""
    return generate_latest(REGISTRY)
