"""Puts the node's report together (contract, section 8): Node object, the node's programs and files, the last probe."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from ksnap import __version__
from ksnap.agent.api_server import ApiServer
from ksnap.agent.archives import free_bytes
from ksnap.agent.criu_options import read_options
from ksnap.agent.metrics import CAN_FREEZE
from ksnap.agent.node_binaries import node_binary_version
from ksnap.agent.node_setup.self_test import read_outcome
from ksnap.agent.probe import NOT_PROBED, Probe, ProbeResult
from ksnap.agent.restore_support import (
    RUNTIME_HANDLER,
    RestoreSupport,
    RuntimeEngine,
    RuntimeSwitches,
    restore_support,
)
from ksnap.agent.runtime_config import containerd_switches, crio_switches, runtime_handler_binary
from ksnap.agent.settings import AgentSettings
from ksnap.errors import KsnapError
from ksnap.model.container_runtime import parse_runtime
from ksnap.node.protocol import NOT_TRIED, NodeReport

log = structlog.get_logger()

# A report's reason is short (contract, section 8); a self-test's may end in lines of logs.
_REASON_LIMIT = 400
_NODE_POLL_S = 30.0
# A runtime that was away when it was to be probed is back after some seconds.
_SOON_S = 2.0
_QUICK_TRIES = 3
_FAILED_PROBE_AGAIN_S = 600.0
# The kubelet looks at its runtime's version every ten seconds; a runtime that never tells one is no reason to wait on.
_VERSION_WAIT_S = 30.0
_VERSION = "containerRuntimeVersion"


@dataclass(slots=True)
class NodeFacts:
    """What a report is made of. Changes seldom; free disk alone is looked up for each report."""

    node_info: Mapping[str, Any] = field(default_factory=dict)
    runc_version: str = ""
    criu_version: str = ""
    switches: RuntimeSwitches = field(default_factory=lambda: RuntimeSwitches(readable=False))
    probe: ProbeResult = NOT_PROBED
    engine: RuntimeEngine = field(default_factory=RuntimeEngine)


class Reporter:
    """Keeps the facts fresh in the background (`watch`), so that a report answers from memory."""

    def __init__(self, settings: AgentSettings, api_server: ApiServer, probe: Probe) -> None:
        self._settings = settings
        self._api_server = api_server
        self._probe = probe
        self._facts = NodeFacts()
        self._failures = 0
        self._give_up_at = time.monotonic() + _VERSION_WAIT_S

    @property
    def settled(self) -> bool:
        """Whether a report now says what the node is, or will say no more later."""
        return _tells_version(self._facts.node_info) or time.monotonic() > self._give_up_at

    async def report(self) -> NodeReport:
        free = await asyncio.to_thread(free_bytes, self._settings.checkpoints_dir)
        options = await asyncio.to_thread(read_options, self._settings.criu_config_dir)
        # Now and not at the last look: the node set-up may just have ended.
        self._facts.engine = await asyncio.to_thread(runtime_engine, self._settings)
        return node_report(
            self._settings.node_name, self._facts, free_disk_bytes=free or 0, options=options, now=datetime.now(UTC)
        )

    async def watch(self) -> None:
        """Look at the node now and then; probe at the start, when its runtime changed, and every so often."""
        while True:
            try:
                await self._look()
            except OSError as exc:
                # A node's file system in trouble: the last facts stand, and the agent goes on.
                log.warning("node_not_looked_at", reason=exc.strerror)
            not_tried = self._probe.possible and self._facts.probe.problem == NOT_TRIED
            await asyncio.sleep(_SOON_S if not_tried or not self.settled else _NODE_POLL_S)

    async def _look(self) -> None:
        before = runtime_of(self._facts)
        await self._refresh()
        await asyncio.to_thread(self._probe.remove_archives)
        if self._probe.possible and (runtime_of(self._facts) != before or self._probe_is_due()):
            self._facts.probe = await self._probe.run()
            failed = not self._facts.probe.works and self._facts.probe.problem != NOT_TRIED
            self._failures = self._failures + 1 if failed else 0
            CAN_FREEZE.set(int(self._facts.probe.works))

    def _probe_is_due(self) -> bool:
        """A failure is looked at again soon at first: the probe container may not have been up yet."""
        age = (datetime.now(UTC) - self._facts.probe.at).total_seconds()
        if self._facts.probe.works:
            return age > self._settings.probe_interval_s
        return self._failures < _QUICK_TRIES or age > min(self._settings.probe_interval_s, _FAILED_PROBE_AGAIN_S)

    async def _refresh(self) -> None:
        settings = self._settings
        try:
            node = await self._api_server.get(f"/api/v1/nodes/{settings.node_name}")
            self._facts.node_info = newer_info(self._facts.node_info, node.get("status", {}).get("nodeInfo", {}))
        except KsnapError as error:
            log.warning("node_not_read", reason=error.message, details=error.details)
        self._facts.runc_version = await node_binary_version(settings.host_usr_dir, "runc")
        self._facts.criu_version = await node_binary_version(settings.host_usr_dir, "criu")
        crio = runtime_of(self._facts).startswith("cri-o://")
        if crio:
            self._facts.switches = await asyncio.to_thread(crio_switches, settings.crio_config_dir)
        else:
            self._facts.switches = await asyncio.to_thread(containerd_switches, settings.containerd_config_dir)


def runtime_engine(settings: AgentSettings) -> RuntimeEngine:
    """Look for the runtime engine on the node; blocks."""
    binary = settings.runtime_binary
    tested = read_outcome(binary.parent)
    return RuntimeEngine(
        installed=binary.is_file() and os.access(binary, os.X_OK),
        handler_binary=runtime_handler_binary(settings.containerd_config_dir, RUNTIME_HANDLER),
        failed_test="" if tested is None or tested.works else " ".join(tested.reason.split())[:_REASON_LIMIT],
    )


def newer_info(before: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Node's `nodeInfo`, with the runtime's last known version where it tells none: a kubelet writes
    `containerd://Unknown` while the runtime restarts, and corrects it only ten seconds later."""
    if _tells_version(now) or not _tells_version(before):
        return now
    return {**now, _VERSION: before[_VERSION]}


def _tells_version(node_info: Mapping[str, Any]) -> bool:
    return parse_runtime(str(node_info.get(_VERSION, ""))) is not None


def runtime_of(facts: NodeFacts) -> str:
    return str(facts.node_info.get(_VERSION, ""))


def node_report(
    node_name: str, facts: NodeFacts, *, free_disk_bytes: int, options: list[str], now: datetime
) -> NodeReport:
    """The facts as the message."""
    info = facts.node_info
    support = restore_support(runtime_of(facts), facts.switches, facts.engine)
    criu = facts.probe.criu_version or facts.criu_version
    return NodeReport(
        node_name=node_name,
        timestamp=now,
        agent_version=__version__,
        architecture=str(info.get("architecture", "")),
        kernel_version=str(info.get("kernelVersion", "")),
        kubelet_version=str(info.get("kubeletVersion", "")),
        container_runtime=runtime_of(facts),
        runc_version=facts.runc_version,
        criu_version=criu,
        checkpointing_enabled=facts.probe.works,
        freeze_obstacle=facts.probe.obstacle,
        restore_supported=support.how,
        restore_reason=support.reason,
        image_restore=support.image,
        free_disk_bytes=free_disk_bytes,
        criu_options=options,
        checks=checks(facts, support, criu=criu, options=options),
    )


def checks(facts: NodeFacts, support: RestoreSupport, *, criu: str, options: list[str]) -> dict[str, str]:
    """The contract's check strings; an older server of the reference's kind understands the first ones."""
    runtime = runtime_of(facts)
    return {
        "runtime": f"runtime:pass:{runtime}" if runtime else "runtime:fail:unknown",
        "criu": _criu_check(criu, works=facts.probe.works),
        "criu_config": "criu_config:pass" if "tcp-close" in options else "criu_config:fail:tcp-close is not set",
        "runc": f"runc:pass:{facts.runc_version}" if facts.runc_version else "runc:fail:not_found",
        "checkpoint": "checkpoint:pass" if facts.probe.works else f"checkpoint:fail:{facts.probe.problem}",
        "restore": f"restore:{'fail' if support.how == 'none' else 'pass'}:{support.reason}",
    }


def _criu_check(version: str, *, works: bool) -> str:
    """A CRIU that froze the probe is there, whether or not it told its version."""
    if version:
        return f"criu:Version: {version}"
    return "criu:pass" if works else "criu:fail:not_found"
