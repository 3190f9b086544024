"""Running hooks over a real WebSocket, with a real database: what fails whom, and who learns what a hook wrote."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from ksnap.checkpoints.hook_run import OUTPUT_BYTES, HookRunner, last_lines
from ksnap.checkpoints.hooks import SHELL, Hook, Moment
from ksnap.checkpoints.job_log import JobKind, JobLog, new_job
from ksnap.errors import CheckpointFailed, ClusterConnectionFailed, KsnapError, RestoreFailed
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connections import ClusterConnections
from ksnap.store.database import open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import Job
from tests.parties.certificates import issue_certificate
from tests.parties.exec_server import ExecServer, Plan, exec_server

BEFORE, AFTER = Moment.BEFORE_FREEZE, Moment.AFTER_RESTORE
SECRET = "hunter2"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[JobLog]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=5)
    yield JobLog(database)
    await database.close()


@pytest.fixture
async def job(log: JobLog) -> Job:
    added = new_job(
        "job", JobKind.CHECKPOINT, cluster="c", namespace="shop", pod="web-0", by="admin", checkpoint_id=None,
        request={}, now=datetime.now(UTC),
    )  # fmt: skip
    await log.add(added)
    return added


@pytest.fixture
async def party(tmp_path: Path) -> AsyncIterator[ExecServer]:
    async with exec_server(issue_certificate(tmp_path)) as running:
        yield running


@pytest.fixture
async def runner(party: ExecServer, log: JobLog, tmp_path: Path) -> AsyncIterator[HookRunner]:
    ca_pem = (tmp_path / "ca.crt").read_text()

    async def load(cluster: str) -> ClusterConfig:
        return ClusterConfig(cluster, party.url, AuthType.TOKEN, SecretStr("token"), ca_cert=ca_pem, timeout_s=5.0)

    connections = ClusterConnections(load)
    yield HookRunner(log, connections)
    await connections.close()


def hook(line: str, *, container: str = "web", timeout_s: int = 10, ignores_failure: bool = False) -> Hook:
    return Hook(container, (*SHELL, line), timeout_s, ignores_failure)


async def messages(log: JobLog) -> list[str]:
    return [each.message for each in await log.events("job")]


async def test_hooks_run_one_after_the_other(
    runner: HookRunner, party: ExecServer, log: JobLog, job: Job, tmp_path: Path
) -> None:
    file = tmp_path / "said"
    await runner.run(job, AFTER, [hook(f"sleep 0.2; echo a >> {file}"), hook(f"echo b >> {file}", container="side")])
    assert file.read_text() == "a\nb\n"
    assert [each.container for each in party.asked] == ["web", "side"]
    assert await messages(log) == [f"Running the pod's hook in container {each}" for each in ("web", "side")]


@pytest.mark.parametrize(("moment", "kind"), [(BEFORE, CheckpointFailed), (AFTER, RestoreFailed)])
async def test_a_failure_is_the_jobs_and_ends_the_row(
    runner: HookRunner, party: ExecServer, job: Job, moment: Moment, kind: type[KsnapError]
) -> None:
    with pytest.raises(kind, match="hook failed") as raised:
        await runner.run(job, moment, [hook("echo it broke >&2; exit 3"), hook("true", container="side")])
    assert raised.value.details == f"{moment} in container web of pod shop/web-0: exit code 3"
    assert raised.value.output == "it broke"
    assert len(party.asked) == 1


async def test_only_the_one_who_asked_learns_what_it_wrote(runner: HookRunner, log: JobLog, job: Job) -> None:
    line = f"echo {SECRET} >&2; echo {SECRET}; exit 1"
    with capture_logs() as logs:
        with pytest.raises(CheckpointFailed) as raised:
            await runner.run(job, BEFORE, [hook(line)])
        await runner.run(job, BEFORE, [hook(line, ignores_failure=True)])
    assert SECRET in raised.value.explanation
    assert SECRET not in raised.value.details
    assert SECRET not in json.dumps([*logs, *await messages(log)], default=str)


async def test_a_failure_to_be_ignored_is_told_and_the_next_runs(
    runner: HookRunner, party: ExecServer, log: JobLog, job: Job
) -> None:
    await runner.run(job, AFTER, [hook("exit 3", ignores_failure=True), hook("true", container="side")])
    assert [each.container for each in party.asked] == ["web", "side"]
    assert "is ignored: after-restore in container web of pod shop/web-0: exit code 3" in (await messages(log))[1]


async def test_one_that_hangs_fails_at_its_time(runner: HookRunner, job: Job) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(CheckpointFailed, match="hook failed") as raised:
        await runner.run(job, BEFORE, [hook("exec sleep 60", timeout_s=1)])
    assert asyncio.get_running_loop().time() - began < 10
    assert "no end after 1 s" in raised.value.details
    assert "hooks.ksnap.dev/before-freeze-timeout" in raised.value.hint


async def test_one_that_cannot_be_run_says_why(runner: HookRunner, party: ExecServer, job: Job) -> None:
    party.plan = Plan(status={"status": "Failure", "reason": "InternalError", "message": "no such file"})
    with pytest.raises(RestoreFailed) as raised:
        await runner.run(job, AFTER, [hook("true")])
    assert (raised.value.details.endswith("could not be run"), raised.value.output) == (True, "no such file")


async def test_a_connection_that_broke_is_another_run(
    runner: HookRunner, party: ExecServer, job: Job, tmp_path: Path
) -> None:
    file = tmp_path / "said"
    party.plan = Plan(cut_after=1)
    running = asyncio.create_task(runner.run(job, BEFORE, [hook(f"echo x >> {file}; echo x; sleep 0.1")]))
    async with asyncio.timeout(30):
        while len(party.asked) < 2:  # noqa: ASYNC110 - the party has no event for it
            await asyncio.sleep(0.01)
    party.plan = Plan()
    await running
    assert file.read_text().count("x") == len(party.asked) >= 2


async def test_rights_are_asked_for_only_where_there_is_a_hook(runner: HookRunner, party: ExecServer) -> None:
    party.rights = set()
    await runner.check("c", "shop", [])


@pytest.mark.parametrize("missing", ["get pods/exec", "create pods/exec"])
async def test_a_missing_right_names_the_charts_value(runner: HookRunner, party: ExecServer, missing: str) -> None:
    await runner.check("c", "shop", [hook("true")])
    party.rights.remove(missing)
    with pytest.raises(ClusterConnectionFailed) as raised:
        await runner.check("c", "shop", [hook("true")])
    assert missing in raised.value.details
    assert "hooks.enabled=true" in raised.value.hint


def test_the_last_lines_are_few_and_short() -> None:
    assert last_lines(b"") == ""
    assert last_lines(b"".join(b"%d\n" % each for each in range(100))) == "95\n96\n97\n98\n99"
    assert len(last_lines(b"x" * 10_000)) == OUTPUT_BYTES
    assert last_lines("ä".encode()[1:] + b"b\n\n") == "�b"
