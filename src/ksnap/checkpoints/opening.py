"""Puts the room together: `open_checkpoints` makes every part, starts the engine and ends it."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from ksnap.checkpoints.agents import AgentDirectory
from ksnap.checkpoints.checkpoint_job import CheckpointJob
from ksnap.checkpoints.delete_job import DeleteJob
from ksnap.checkpoints.destination import Destinations
from ksnap.checkpoints.doctor import Doctor
from ksnap.checkpoints.engine import EngineSettings, JobRunner, open_engine
from ksnap.checkpoints.feed import ProgressFeed, open_feed
from ksnap.checkpoints.freezing import Freezing
from ksnap.checkpoints.hook_run import HookRunner
from ksnap.checkpoints.images import Images
from ksnap.checkpoints.job_log import JobKind, JobLog
from ksnap.checkpoints.node_images import NodeImages
from ksnap.checkpoints.node_reports import NodeReports
from ksnap.checkpoints.publish_job import PublishJob
from ksnap.checkpoints.records import CheckpointRecords
from ksnap.checkpoints.restore_job import RestoreJob
from ksnap.checkpoints.retention.garbage import Collector
from ksnap.checkpoints.retention.policies import Policies
from ksnap.checkpoints.retention.rounds import Retention
from ksnap.checkpoints.service import Checkpoints
from ksnap.configuration.clusters import Clusters
from ksnap.configuration.registries import Registries
from ksnap.kube.connections import ClusterConnections
from ksnap.oci.signing_keys import SigningKey
from ksnap.registry.signatures import LocalSigner
from ksnap.store.blobs import Blobs
from ksnap.store.database import Database
from ksnap.store.encryption import Vault


@dataclass(frozen=True, slots=True)
class Parts:
    """What the room needs of others."""

    database: Database
    vault: Vault
    blobs: Blobs
    registries: Registries
    clusters: Clusters
    connections: ClusterConnections
    signing_key: SigningKey


@dataclass(frozen=True, slots=True)
class Opened:
    """What routes use."""

    checkpoints: Checkpoints
    records: CheckpointRecords
    images: Images
    doctor: Doctor
    node_images: NodeImages
    progress: ProgressFeed
    retention: Retention
    garbage: Collector


@asynccontextmanager
async def open_checkpoints(
    parts: Parts, engine_settings: EngineSettings, *, dump_timeout_s: float, agent_namespace: str
) -> AsyncIterator[Opened]:
    """The room, at work: jobs of an earlier process go on at once."""
    jobs, records = JobLog(parts.database), CheckpointRecords(parts.database)
    agents = AgentDirectory(parts.connections)
    reports = NodeReports(parts.database, agents, parts.connections)
    images = Images(parts.registries, parts.blobs, LocalSigner(parts.signing_key))
    destinations = Destinations(parts.registries, parts.clusters)
    hooks = HookRunner(jobs, parts.connections)
    runners: dict[str, JobRunner] = {
        JobKind.CHECKPOINT: CheckpointJob(
            jobs,
            records,
            parts.vault,
            parts.connections,
            hooks,
            agents,
            parts.registries,
            parts.blobs,
            images,
            parts.signing_key,
        ),
        JobKind.PUBLISH: PublishJob(parts.database, jobs, records, parts.registries, images),
        JobKind.RESTORE: RestoreJob(
            parts.database,
            parts.vault,
            jobs,
            records,
            parts.connections,
            agents,
            parts.registries,
            reports,
            hooks,
            parts.signing_key,
        ),
        JobKind.DELETE: DeleteJob(jobs, records, parts.blobs, images),
    }
    async with (
        aclosing(reports),
        open_feed(jobs) as progress,
        open_engine(jobs, runners, engine_settings) as engine,
    ):
        freezing = Freezing(parts.connections, reports, destinations, records, parts.vault, hooks, dump_timeout_s)
        checkpoints = Checkpoints(
            parts.database,
            engine,
            jobs,
            records,
            freezing,
            destinations,
            parts.connections,
            reports,
            hooks,
            parts.vault,
        )
        yield Opened(
            checkpoints,
            records,
            images,
            Doctor(parts.connections, reports, agent_namespace),
            NodeImages(parts.database, records, agents),
            progress,
            Retention(parts.database, Policies(parts.database), checkpoints),
            Collector(parts.database, parts.blobs, parts.registries, parts.signing_key),
        )
