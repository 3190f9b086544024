"""One cluster's meter, round by round: the source that works, what the store remembers, and the time off."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ksnap.dashboard.metrics.history import History
from ksnap.dashboard.metrics.meter import Meter
from ksnap.dashboard.metrics.sources import Absent
from ksnap.errors import KsnapError, Unavailable
from ksnap.identity.users import utc_now
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.model.usage import Amounts, Reading
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import Cluster, UsageLook

NOON = 1_709_640_000
WEB = ("default", "web")


@dataclass(slots=True)
class Scripted:
    """A source that answers as it is told."""

    id: str
    failure: KsnapError | None = None
    amounts: Amounts = (1, 1)
    trouble: KsnapError | None = None
    reads: int = 0

    async def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def read(self) -> Reading:
        self.reads += 1
        return Reading({WEB: self.amounts}, {("", "node1"): (5, 5)}, self.trouble)


@dataclass(slots=True)
class Bench:
    """A meter with its sources and its clock."""

    database: Database
    own: ClusterConnection
    first: Scripted = field(default_factory=lambda: Scripted("first"))
    second: Scripted = field(default_factory=lambda: Scripted("second"))
    now: float = NOON + 7.0

    def meter(self) -> Meter:
        async def connect() -> ClusterConnection:
            return self.own

        return Meter(
            "west",
            connect,
            lambda _own: (self.first, self.second),
            History(self.database),
            check_s=30,
            clock=lambda: self.now,
        )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    migrate(url)
    database = open_database(url, timeout_s=10)
    own = await ClusterConnection.open(ClusterConfig("west", "https://10.0.0.1", AuthType.TOKEN))
    async with database.writing() as session:
        session.add(Cluster(name="west", api_server_url="https://10.0.0.1", auth_type="token", created_at=utc_now()))
    yield Bench(database, own)
    await own.close()
    await database.close()


def _cpu(meter: Meter) -> list[int]:
    return [value for _, value in meter.pods.sums(meter.pods.find((WEB,)), "cpu")]


async def test_a_look_a_minute(bench: Bench) -> None:
    meter = bench.meter()
    for bench.now in (NOON + 7, NOON + 37, NOON + 61, NOON + 119.9):
        await meter.round()
    assert (bench.first.reads, _cpu(meter), meter.is_on) == (2, [1, 1], True)
    assert meter.looked_at == NOON + 60


async def test_the_next_source_takes_over_and_gives_back(bench: Bench) -> None:
    meter = bench.meter()
    await meter.round()
    bench.first.failure, bench.second.amounts = Unavailable("broken"), (9, 9)
    bench.now += 60
    await meter.round()
    assert (meter.is_on, meter.trouble, _cpu(meter)) == (True, None, [1, 9])
    bench.first.failure = None
    bench.now += 60
    await meter.round()
    assert _cpu(meter) == [1, 9, 1]


async def test_off_while_none_works_and_on_again(bench: Bench) -> None:
    meter = bench.meter()
    await meter.round()
    bench.first.failure, bench.second.failure = Unavailable("broken"), Absent("none")
    bench.now += 30
    await meter.round()
    assert (meter.is_on, meter.trouble and meter.trouble.message) == (False, "broken")
    bench.first.failure = None
    await meter.round()
    assert (meter.is_on, meter.trouble, bench.first.reads) == (True, None, 1)


async def test_none_at_all_is_no_trouble(bench: Bench) -> None:
    bench.first.failure = bench.second.failure = Absent("none")
    meter = bench.meter()
    await meter.round()
    assert (meter.is_on, meter.trouble) == (False, None)


async def test_a_part_that_is_missing_is_told(bench: Bench) -> None:
    bench.first.trouble = Unavailable("node2 is silent")
    meter = bench.meter()
    await meter.round()
    assert (meter.is_on, meter.trouble) == (True, bench.first.trouble)


async def test_another_server_finds_the_hour_and_spares_the_look(bench: Bench) -> None:
    first = bench.meter()
    for minute in range(3):
        bench.now = NOON + 60 * minute
        await first.round()
    other = bench.meter()
    await other.round()
    assert (_cpu(other), bench.first.reads) == ([1, 1, 1], 3)
    bench.now += 60
    await other.round()
    await first.round()
    assert (_cpu(first), bench.first.reads) == ([1, 1, 1, 1], 4)


async def test_the_store_keeps_an_hour(bench: Bench) -> None:
    meter = bench.meter()
    for minute in range(63):
        bench.now = NOON + 60 * minute
        await meter.round()
    async with bench.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(UsageLook)) == 60
    assert len(_cpu(meter)) == 60


async def test_a_damaged_row_is_passed_over(bench: Bench) -> None:
    await History(bench.database).add("west", NOON - 60, b"not a look")
    meter = bench.meter()
    await meter.round()
    assert _cpu(meter) == [1]


async def test_a_cluster_that_was_removed_meanwhile(bench: Bench) -> None:
    meter = bench.meter()
    async with bench.database.writing() as session:
        await session.delete(await session.get_one(Cluster, "west"))
    await meter.round()
    assert meter.is_on
