"""The only honest proof that a node can freeze: freeze something. The agent's pod has a second container for it.

`criu check` needs privileges that the agent does not have, and says nothing of the kubelet and the runtime between. So
the kubelet is asked for a checkpoint of the pod's own `probe` container, a process that sleeps, and the archive is
removed at once. CRIU's version is read from that archive: it is the CRIU that really ran.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from ksnap.agent.archives import Archives, read_document, remove_archive
from ksnap.agent.containerd_lock import ContainerdBusy, containerd_kept
from ksnap.agent.dump import RESTART_PATIENCE_S, is_runtime_away
from ksnap.agent.dump_log import explained, failed_dump_log
from ksnap.agent.kubelet import Kubelet, KubeletInTheWay
from ksnap.agent.probe_records import ProbeRecords
from ksnap.agent.settings import AgentSettings
from ksnap.criu.archive_rules import DUMP_LOG
from ksnap.criu.diagnosis import diagnose
from ksnap.errors import CheckpointFailed, KsnapError
from ksnap.node.protocol import NOT_TRIED

log = structlog.get_logger()

_CRIU_VERSION = re.compile(rb"^\([0-9.]+\) Version: (\S+)", re.MULTILINE)
# What a node may take from the end of the kubelet's limit to an archive on its disk.
_LATE_S = 60.0
_CONTAINER_ID = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the last probe found. `problem` is empty if it worked."""

    at: datetime
    problem: str = ""
    obstacle: str = ""
    """Of the node's kubelet, if it was that."""
    criu_version: str = ""

    @property
    def works(self) -> bool:
        return not self.problem


NOT_PROBED = ProbeResult(datetime.fromtimestamp(0, UTC), problem=NOT_TRIED)


class Probe:
    """Freezes the probe container of the agent's own pod."""

    def __init__(self, settings: AgentSettings, kubelet: Kubelet) -> None:
        self._settings = settings
        self._kubelet = kubelet
        self._archives = Archives(
            settings.checkpoints_dir, settings.pod_namespace, settings.pod_name, settings.probe_container
        )
        self._records = ProbeRecords(settings.state_dir, settings.checkpoints_dir)

    @property
    def possible(self) -> bool:
        """Whether there is anything to probe with."""
        return bool(self._settings.pod_name and self._settings.probe_container)

    async def run(self) -> ProbeResult:
        """Freeze once, remove the archive, say what came of it."""
        try:
            async with containerd_kept(self._settings.state_dir, patience_s=RESTART_PATIENCE_S):
                result = await self._freeze()
        except ContainerdBusy:
            result = ProbeResult(datetime.now(UTC), problem=NOT_TRIED)
        await asyncio.to_thread(self.remove_archives)
        log.info("node_probed", works=result.works, criu_version=result.criu_version, problem=result.problem)
        return result

    async def _freeze(self) -> ProbeResult:
        begun = datetime.now(UTC)
        try:
            await asyncio.to_thread(self._records.add, self._archives)
            async with asyncio.timeout(self._settings.probe_timeout_s):
                answered = await self._kubelet.checkpoint(
                    self._settings.pod_namespace, self._settings.pod_name, self._settings.probe_container
                )
            path = self._archives.path_of_answer(answered)
            version = await asyncio.to_thread(criu_version_of, path)
            await asyncio.to_thread(self._settled)
        except TimeoutError:
            return ProbeResult(begun, problem=f"no end within {self._settings.probe_timeout_s:g} s")
        except KsnapError as error:
            if is_runtime_away(error):
                # Nothing was learned of the node: its runtime is being restarted, and is asked again in a moment.
                return ProbeResult(begun, problem=NOT_TRIED)
            told = await asyncio.to_thread(self._explained, error, begun)
            problem = ". ".join(part for part in (told.message, told.hint) if part)
            obstacle = told.obstacle if isinstance(told, KubeletInTheWay) else ""
            return ProbeResult(begun, problem=problem, obstacle=obstacle)
        return ProbeResult(begun, criu_version=version)

    def remove_archives(self) -> None:
        """All archives of recorded probes, former pods' too: nobody else has a use for them, or may ask for them.

        A dump outlives a question that was given up (its time passed, the agent's pod was replaced), but not the limit
        that the kubelet was given: until then its archive may still come.
        """
        for archives, age_s in self._records.all():
            for name in archives.names():
                if remove_archive(archives.folder / name):
                    log.info("probe_archive_removed", name=name)
            if age_s > self._settings.dump_limit_s + _LATE_S:
                self._records.remove(archives)

    def _settled(self) -> None:
        """The kubelet has answered: this probe's archive is there, and no other comes."""
        for name in self._archives.names():
            remove_archive(self._archives.folder / name)
        self._records.remove(self._archives)

    def _explained(self, error: KsnapError, begun: datetime) -> KsnapError:
        if type(error) is not CheckpointFailed or error.hint:
            return error
        # The agent may not read its own pod; containerd's error names the container.
        found = _CONTAINER_ID.search(error.details)
        text = failed_dump_log(self._settings.tasks_dir, found[0], since=begun) if found else ""
        return explained(diagnose(text, error.details), error)


def criu_version_of(archive: Path) -> str:
    """The version that CRIU wrote on top of its log, `dump.log` in the archive; empty if it cannot be read."""
    try:
        head = read_document(archive, DUMP_LOG)
    except (KsnapError, OSError):
        return ""
    found = _CRIU_VERSION.search(head or b"")
    return found[1].decode(errors="replace") if found else ""
