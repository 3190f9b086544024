"""Runs a pod's hooks in its containers, for a job that waits for them.

A hook may run twice: after a connection that broke, and after a server that died in its stage. What it wrote goes to
the one who asked, as its last lines and no more, and into no log and no progress event: it may hold secrets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from ksnap.checkpoints.hooks import Hook, Moment
from ksnap.checkpoints.job_log import JobLog, Progress
from ksnap.checkpoints.patience import patiently
from ksnap.errors import CheckpointFailed, ClusterConnectionFailed, KsnapError, RestoreFailed
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.exec import execute
from ksnap.kube.reviews import may
from ksnap.store.tables import Job

# An API server that is away for a moment is waited for, beyond the hook's own time.
PATIENCE_S = 60.0
# Some lines of an error message, as a person reads it.
OUTPUT_LINES = 5
OUTPUT_BYTES = 1000
# Recent API servers ask for `create` where a WebSocket is opened, all of them for `get`.
VERBS = ("get", "create")
# In a job's order of steps: before the agent's first, and between `starting` and `proving`.
_PERCENT = {Moment.BEFORE_FREEZE: 2.0, Moment.AFTER_RESTORE: 85.0}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HookRunner:
    """Runs hooks, and says beforehand whether it could."""

    jobs: JobLog
    connections: ClusterConnections

    async def check(self, cluster: str, namespace: str, hooks: Sequence[Hook]) -> None:
        """ClusterConnectionFailed if there are hooks and our account may run nothing there; asks nothing without."""
        if not hooks:
            return
        connection = await self.connections.get(cluster)
        for verb in VERBS:
            if not await may(connection, verb, "pods", subresource="exec", namespace=namespace):
                raise ClusterConnectionFailed(
                    "ksnap's account may not run the pod's hooks",
                    details=f"{verb} pods/exec in namespace {namespace} of cluster {cluster}",
                    hint="Set hooks.enabled=true in the chart, or take the annotations hooks.ksnap.dev/ off the pod",
                )

    async def run(self, job: Job, moment: Moment, hooks: Sequence[Hook]) -> None:
        """One after the other, in the job's pod. The first that fails, and is not to be ignored, is the error."""
        for hook in hooks:
            await self.jobs.note(
                job, Progress("hook", _PERCENT[moment], f"Running the pod's hook in container {hook.container}")
            )
            failure = await patiently(partial(self._failure, job, moment, hook), seconds=PATIENCE_S + hook.timeout_s)
            if failure is not None and not hook.ignores_failure:
                raise failure
            if failure is not None:
                log.warning("hook_failure_ignored", moment=moment, container=hook.container, details=failure.details)
                said = f"The hook's failure is ignored: {failure.details}"
                await self.jobs.note(job, Progress("hook", _PERCENT[moment], said))

    async def _failure(self, job: Job, moment: Moment, hook: Hook) -> KsnapError | None:
        connection = await self.connections.get(job.cluster_name)
        where = f"{moment} in container {hook.container} of pod {job.namespace}/{job.pod_name}"
        try:
            done = await execute(
                connection, job.namespace, job.pod_name, hook.container, hook.argv, deadline_s=hook.timeout_s
            )
        except TimeoutError:
            hint = f"Annotate a longer time (hooks.ksnap.dev/{moment}-timeout); the command may still be running"
            return _failed(moment, f"{where}: no end after {hook.timeout_s} s", hint=hint)
        if done.exit_code is None:
            return _failed(moment, f"{where}: it could not be run", output=done.message[:OUTPUT_BYTES])
        if done.exit_code != 0:
            return _failed(moment, f"{where}: exit code {done.exit_code}", output=last_lines(done.stderr))
        return None


def last_lines(stderr: bytes) -> str:
    """The end of what a hook wrote, short enough for an error."""
    text = stderr[-OUTPUT_BYTES:].decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-OUTPUT_LINES:])


def _failed(moment: Moment, details: str, *, hint: str = "", output: str = "") -> KsnapError:
    kind = CheckpointFailed if moment is Moment.BEFORE_FREEZE else RestoreFailed
    return kind("The pod's hook failed", details=details, hint=hint, output=output)
