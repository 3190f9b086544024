"""The server over a real PostgreSQL: schema, several servers at once, shared limits, a database that goes away."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import Connection

from ksnap.checkpoints.feed import FeedReader, open_feed
from ksnap.checkpoints.job_log import JobKind, Wanted, new_job
from ksnap.checkpoints.records import CheckpointRecords
from ksnap.configuration.clusters import ClusterChange, Clusters
from ksnap.configuration.registries import Registries, RegistryChange
from ksnap.errors import Conflict, NotFound
from ksnap.identity.limits import SharedCounters, window_end
from ksnap.identity.principal import Principal, Role
from ksnap.identity.tokens import open_tokens
from ksnap.settings import ServerSettings
from ksnap.store.database import open_database
from ksnap.store.encryption import open_vault
from ksnap.store.migrate import migrate
from ksnap.store.server_locks import open_server_locks
from ksnap.store.tables import Base, Cluster, Job, Registry, WatcherClaim
from ksnap.watchers import claims
from ksnap.watchers.claims import Claims
from ksnap.watchers.definition import Definition
from ksnap.watchers.leases import Leases
from ksnap.watchers.records import WatcherRecords
from tests.parties.fault_proxy import Fault, Hang, fault_proxy
from tests.parties.postgresql import RunningPostgresql, needs_postgresql, running_postgresql, with_database
from tests.parties.registry import PASSWORD, USERNAME, needs_registry, start_registry
from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.job_events import JobWriter, job_event, open_writer
from tests.server.seeded import seed

pytestmark = needs_postgresql


@pytest.fixture(scope="module")
def postgresql() -> Iterator[RunningPostgresql]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def url(postgresql: RunningPostgresql) -> Iterator[str]:
    with with_database(postgresql) as url:
        yield url


def resolved(url: str) -> str:
    return ServerSettings.model_validate({"database_url": url}).resolved_database_url


async def test_the_migrated_schema_is_the_declared_one(url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    await asyncio.to_thread(migrate, resolved(url))
    database = open_database(resolved(url), timeout_s=5)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def test_several_servers_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(migrate, [resolved(url)] * 6))


async def test_counts_of_many_at_once_are_exact(url: str) -> None:
    await asyncio.to_thread(migrate, resolved(url))
    database = open_database(resolved(url), timeout_s=10)
    counters, end = SharedCounters(database), window_end(datetime.now(UTC))
    counts = await asyncio.gather(*(counters.add("user:a", end) for _ in range(50)))
    assert sorted(counts) == list(range(1, 51))
    assert await counters.read("user:a", end) == 50
    assert await counters.read("user:b", end) == 0
    await database.close()


@pytest.fixture
async def writer(url: str, tmp_path: Path) -> AsyncIterator[JobWriter]:
    await asyncio.to_thread(migrate, resolved(url))
    async with open_writer(tmp_path, url) as opened:
        yield opened


async def test_progress_that_is_committed_late_still_comes_in_order(writer: JobWriter) -> None:
    """Whether a reader is there before, or comes with its last id while the transaction is still open."""
    job = await writer.job()
    await writer.note(job, "first")
    async with open_feed(writer.jobs, gap_s=60) as feed, feed.reader(Wanted()) as reader:
        async with writer.database.writing() as session:
            session.add(job_event(job, "second"))
            await session.flush()
            await writer.note(job, "third")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await reader.next()
            async with open_feed(writer.jobs, gap_s=60) as other, other.reader(Wanted(), after=0) as late:
                assert await taken(late, 1) == ["first"]
                await session.commit()
                assert await taken(late, 2) == ["second", "third"]
        assert await taken(reader, 2) == ["second", "third"]


async def test_progress_goes_on_behind_ids_that_nobody_used(writer: JobWriter) -> None:
    job = await writer.job()
    async with open_feed(writer.jobs) as feed, feed.reader(Wanted()) as reader:
        for number in range(3):
            with pytest.raises(NotFound):
                await refused(writer, job)
            await writer.note(job, str(number))
        assert await taken(reader, 3) == ["0", "1", "2"]


async def refused(writer: JobWriter, job: Job) -> None:
    """A transaction that takes an id and fails."""
    async with writer.database.writing() as session:
        session.add(job_event(job, "never"))
        await session.flush()
        raise NotFound("x")


async def taken(reader: FeedReader, count: int) -> list[str]:
    """Exactly so many messages."""
    messages: list[str] = []
    async with asyncio.timeout(30):
        while len(messages) < count:
            messages += [each.message for each in await reader.next()]
    return messages


async def test_who_is_slower_hears_what_the_faster_one_did(url: str, tmp_path: Path) -> None:
    """A registry that a cluster is just given, and a cluster that is given a registry just deleted."""
    await asyncio.to_thread(migrate, resolved(url))
    database = open_database(resolved(url), timeout_s=10)
    vault = await asyncio.to_thread(open_vault, ServerSettings(data_dir=tmp_path))
    registries, clusters = Registries(database, vault), Clusters(database, vault, agent_namespace="ksnap")
    by = Principal("admin", Role.ADMINISTRATOR, "192.0.2.1", "x")
    new = ClusterChange("c", "https://c.example", token=SecretStr("t"), registry_name="r")
    await registries.create(by, RegistryChange("r", "r.example"))
    await clusters.create(by, new)
    await clusters.update(by, ClusterChange("c", registry_name=""))

    async with database.writing() as session:
        (await session.get_one(Cluster, "c")).registry_name = "r"
        await session.flush()
        deleting = asyncio.create_task(registries.delete(by, "r"))
        await asyncio.sleep(0.5)
    with pytest.raises(Conflict):
        await deleting

    await clusters.update(by, ClusterChange("c", registry_name=""))
    async with database.writing() as session:
        await session.delete(await session.get_one(Registry, "r"))
        await session.flush()
        giving = [
            asyncio.create_task(clusters.create(by, replace(new, name="d"))),
            asyncio.create_task(clusters.update(by, ClusterChange("c", registry_name="r"))),
        ]
        await asyncio.sleep(0.5)
    for each in giving:
        with pytest.raises(NotFound, match="Registry"):
            await each
    await database.close()


@pytest.mark.timeout(150)
async def test_two_servers_share_users_tokens_limits_and_credentials(url: str, tmp_path: Path) -> None:
    """Started at once over an empty database, with the keys that a Secret would give them."""
    (tmp_path / "keys").write_text(Fernet.generate_key().decode())
    _make_token_key(tmp_path)
    settings = {
        "KSNAP_DATABASE_URL": url,
        "KSNAP_ENCRYPTION_KEY_FILE": str(tmp_path / "keys"),
        "KSNAP_TOKEN_KEY_FILE": str(tmp_path / "first" / "token.key"),
        "KSNAP_RATE_LIMIT_USER": "20",
    }
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        starting = [
            pool.submit(stack.enter_context, running_server(tmp_path / n, {**settings, "KSNAP_SERVER_ID": n}))
            for n in ("a", "b")
        ]
        first, second = (each.result() for each in starting)
        async with open_client(first.url, first.token) as one, open_client(second.url, first.token) as two:
            name = fresh("registry")
            new = {"name": name, "url": "r.example", "username": "u", "password": "p"}
            assert (await one.post("/config/registry/create", new)).status == 200
            answer = await two.get("/config/registry/list")
            assert [each["name"] for each in answer.body["registry_configs"]] == [name]
            left = int(answer.headers["X-RateLimit-Remaining"])
            assert int((await one.get("/config/user/list")).headers["X-RateLimit-Remaining"]) == left - 1
            statuses = [(await each.get("/config/user/list")).status for each in (one, two) * 10]
            assert 429 in statuses


async def test_what_the_contract_says_of_users_holds_here_too(url: str, tmp_path: Path) -> None:
    with running_server(tmp_path / "data", {"KSNAP_DATABASE_URL": url}) as server:
        async with open_client(server.url, server.token) as admin:
            new = {"username": "ann", "password": "securepassword", "role": "viewer", "name": "Ann\u00e9"}
            assert (await admin.post("/config/user/create", new)).status == 200
            assert (await admin.post("/config/user/create", new)).code == "ALREADY_EXISTS"
            last = await admin.delete("/config/user/delete", {"username": "admin"})
            assert last.code == "CONFLICT"
            wrong = {"username": "ann", "password": "wrong wrong"}
            answers = await asyncio.gather(*(admin.post("/config/user/login", wrong) for _ in range(10)))
            assert {each.status for each in answers} == {401}
            right = {"username": "ann", "password": "securepassword"}
            assert (await admin.post("/config/user/login", right)).status == 401
            assert (await admin.delete("/config/user/delete", {"username": "ann"})).status == 200


@pytest.mark.timeout(150)
async def test_a_database_that_goes_away_is_503_and_comes_back(tmp_path: Path) -> None:
    with running_postgresql() as own, with_database(own) as url:
        settings = {"KSNAP_DATABASE_URL": url, "KSNAP_DATABASE_TIMEOUT_S": "2"}
        with running_server(tmp_path / "data", settings) as server:
            await _outage(server, own)


async def _outage(server: RunningServer, postgresql: RunningPostgresql) -> None:
    async with open_client(server.url, server.token) as admin:
        assert (await admin.get("/health")).status == 200
        postgresql.signal(signal.SIGSTOP)
        try:
            answer = await admin.get("/config/user/list")
            assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
            assert ADMIN_PASSWORD not in answer.text
            assert (await admin.get("/health/live")).status == 200
        finally:
            postgresql.signal(signal.SIGCONT)
        assert (await admin.get("/health")).status == 200


@needs_registry
@pytest.mark.timeout(240)
async def test_a_server_that_is_dead_leaves_its_jobs_to_another(url: str, tmp_path: Path) -> None:
    """Two servers of names of their own, as two pods of a Deployment: the killed one's name never comes back."""
    seeded = await seed(tmp_path / "a", checkpoints=1, database_url=url)
    settings = {
        "KSNAP_DATABASE_URL": url,
        "KSNAP_ENCRYPTION_KEY_FILE": str(tmp_path / "a" / "encryption.key"),
        "KSNAP_BLOB_STORE_URL": (tmp_path / "a" / "blobs").as_uri(),
    }
    second_settings = {**settings, "KSNAP_SERVER_ID": "b", "KSNAP_TOKEN_KEY_FILE": str(tmp_path / "a" / "token.key")}
    with ExitStack() as stack:
        registry = await asyncio.to_thread(stack.enter_context, start_registry(tmp_path / "registry"))
        first = await asyncio.to_thread(
            stack.enter_context, running_server(tmp_path / "a", {**settings, "KSNAP_SERVER_ID": "a"})
        )
        second = await asyncio.to_thread(stack.enter_context, running_server(tmp_path / "b", second_settings))
        tls = registry.certificate
        async with (
            fault_proxy(registry.url, tls=tls, upstream_tls=tls.client_context()) as proxy,
            open_client(first.url, first.token) as one,
            open_client(second.url, first.token) as two,
        ):
            proxy.add(Fault("PUT", "/blobs/uploads/", Hang()))
            job = await begin_push(one, proxy.host, tls.ca_pem, seeded.ids[0])
            async with asyncio.timeout(20):
                while not proxy.faults[0].met:  # noqa: ASYNC110 - the server is another process
                    await asyncio.sleep(0.1)
            # A live server keeps what it has begun: nobody else may push it a second time meanwhile.
            pushes = len(proxy.requests)
            await asyncio.sleep(12)
            assert len(proxy.requests) == pushes
            first.process.kill()
            async with asyncio.timeout(45):
                while (await two.get(f"/jobs/{job}")).body["status"] == "running":  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            assert (await two.get(f"/jobs/{job}")).body["status"] == "completed"
            proxy.release()


async def begin_push(client: Client, host: str, ca: str, checkpoint_id: str) -> str:
    """Push a seeded checkpoint to a registry that is configured now; the job's id."""
    account = {"username": USERNAME, "password": PASSWORD, "ca_cert": ca}
    assert (await client.post("/config/registry/create", {"name": "images", "url": host, **account})).status == 200
    cluster = {"name": "dev", "api_server_url": "https://c.example", "auth_type": "token", "token": "t"}
    assert (await client.post("/config/clusters/create", cluster)).status == 200
    body = {"pod_name": "web-0", "checkpoint_name": checkpoint_id, "checkpoint_config_name": "images"}
    answer = await client.post("/registry/create_and_push_checkpoint_container?wait=false", body)
    return str(answer.body["job_id"])


async def test_a_use_and_a_deletion_at_once_are_judged_by_the_rows_lock(url: str, tmp_path: Path) -> None:
    seeded = await seed(tmp_path / "data", checkpoints=8, database_url=url)
    database = open_database(resolved(url), timeout_s=5)
    records, now = CheckpointRecords(database), datetime.now(UTC)

    def job(kind: JobKind, checkpoint_id: str) -> Job:
        return new_job(
            f"{kind}-{checkpoint_id}", kind, cluster="c", namespace="n", pod="p", by="a", checkpoint_id=checkpoint_id,
            request={}, now=now,
        )  # fmt: skip

    for each in seeded.ids:
        outcomes = await asyncio.gather(
            records.begin_use([each], job(JobKind.PUBLISH, each)),
            records.begin_deletion(each, job(JobKind.DELETE, each)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict]
    await database.close()


def test_a_second_server_of_one_name_is_refused(url: str, tmp_path: Path) -> None:
    settings = {"KSNAP_DATABASE_URL": url, "KSNAP_SERVER_ID": "pod-0", "KSNAP_DATABASE_TIMEOUT_S": "2"}
    with running_server(tmp_path / "a", settings) as first:
        with (
            pytest.raises(AssertionError, match="Another server of this name"),
            running_server(tmp_path / "b", settings),
        ):
            pass
        first.process.kill()
        first.process.wait(10)
        with running_server(tmp_path / "b", settings):
            pass


async def test_a_lock_whose_session_broke_is_taken_again(url: str, postgresql: RunningPostgresql) -> None:
    async with open_server_locks(resolved(url), "a", patience_s=5) as locks:
        async with locks.of_dead("a") as is_dead:
            assert not is_dead
        end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(postgresql.url("postgres")) as other:
            other.execute(end_all, [url.rpartition("/")[2]])
        await locks.keep()
        await locks.keep()
        async with locks.of_dead("a") as is_dead:
            assert not is_dead
    async with open_server_locks(resolved(url), "b", patience_s=5) as locks, locks.of_dead("a") as is_dead:
        assert is_dead


def _make_token_key(folder: Path) -> None:
    (folder / "first").mkdir()
    open_tokens(ServerSettings(data_dir=folder / "first"))


async def test_two_servers_watchers_claim_a_key_once(url: str) -> None:
    await asyncio.to_thread(migrate, resolved(url))
    databases = [open_database(resolved(url), timeout_s=30) for _ in range(2)]
    try:
        await WatcherRecords(databases[0]).add(Definition("one", "prod"))
        servers = [Claims(each, first_pause=timedelta(seconds=5)) for each in databases]
        now = datetime.now(UTC)
        tries = [
            servers[n % 2].take(claims.Wanted("k" * 64, "", "one", "prod", "shop", f"web-{n}", f"u{n}", "web"), now)
            for n in range(20)
        ]
        found = await asyncio.gather(*tries)
        assert sum(isinstance(each, WatcherClaim) for each in found) == 1
        row = await WatcherRecords(databases[0]).get("one")
        leases = [Leases(each, name, lease_s=10) for each, name in zip(databases, ("a", "b"), strict=True)]
        assert sum(await asyncio.gather(*(each.hold(row) for each in leases))) == 1
    finally:
        for each in databases:
            await each.close()


@pytest.mark.timeout(240)
async def test_a_dead_servers_watcher_goes_on_at_another(url: str, tmp_path: Path) -> None:
    """Both know of it, one acts; when that is killed, the other does within seconds."""
    (tmp_path / "keys").write_text(Fernet.generate_key().decode())
    _make_token_key(tmp_path)
    settings = {
        "KSNAP_DATABASE_URL": url,
        "KSNAP_ENCRYPTION_KEY_FILE": str(tmp_path / "keys"),
        "KSNAP_TOKEN_KEY_FILE": str(tmp_path / "first" / "token.key"),
        "KSNAP_WATCHER_LEASE_S": "4",
    }
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        starting = [
            pool.submit(stack.enter_context, running_server(tmp_path / n, {**settings, "KSNAP_SERVER_ID": n}))
            for n in ("a", "b")
        ]
        first, second = (each.result() for each in starting)
        async with open_client(first.url, first.token) as one, open_client(second.url, first.token) as two:
            new = {"name": "away", "api_server_url": "https://127.0.0.1:1", "token": "t"}
            assert (await one.post("/config/clusters/create", new)).status == 200
            for name in ("w", "x"):
                body = {"name": name, "cluster_name": "away"}
                assert (await one.post("/operator/snapwatcher", body)).status == 200
                # The wish counts whichever server has heard of it.
                if name == "x":
                    assert (await two.post("/operator/snapwatcher/x/stop")).status == 200
            assert (await two.get("/operator/snapwatcher/w")).body["thread_alive"] is True
            async with asyncio.timeout(30):
                while not (_begun(first, "w") or _begun(second, "w")):  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.2)
            acting, waiting = (first, second) if _begun(first, "w") else (second, first)
            assert not _begun(waiting, "w"), "one has the lease"
            began = len(waiting.log)
            acting.process.kill()
            async with asyncio.timeout(60):
                while not _begun(waiting, "w"):  # noqa: ASYNC110 - the server is another process
                    await asyncio.sleep(0.2)
            assert not any('"watcher": "x"' in line and '"watcher_begun"' in line for line in waiting.log[began:])


def _begun(server: RunningServer, watcher: str) -> bool:
    return any('"watcher_begun"' in line and f'"watcher": "{watcher}"' in line for line in server.log)
