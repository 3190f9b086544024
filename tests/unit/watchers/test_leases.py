"""Which of several servers acts: their clocks are values here."""

from ksnap.store.database import Database
from ksnap.watchers.leases import Leases
from ksnap.watchers.records import WatcherRecords


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def servers(database: Database, clock: Clock) -> tuple[Leases, Leases]:
    return tuple(Leases(database, name, lease_s=10, clock=clock) for name in ("a", "b"))  # type: ignore[return-value] # two


async def test_one_acts_until_it_gives_the_lease_back(database: Database, records: WatcherRecords) -> None:
    first, second = servers(database, Clock())
    assert await first.hold(await records.get("one"))
    assert not await second.hold(await records.get("one"))
    assert (first.holds("one"), second.holds("one")) == (True, False)
    assert await second.hold(await records.get("two")), "each watcher has its own"
    await first.give_back(await records.get("one"))
    assert not first.holds("one")
    assert await second.hold(await records.get("one"))


async def test_of_two_that_see_it_free_one_gets_it(database: Database, records: WatcherRecords) -> None:
    first, second = servers(database, Clock())
    row = await records.get("one")
    assert [await first.hold(row), await second.hold(row)] == [True, False]


async def test_a_dead_servers_is_taken_within_the_lease(database: Database, records: WatcherRecords) -> None:
    clock = Clock()
    first, second = servers(database, clock)
    await first.hold(await records.get("one"))
    assert not await second.hold(await records.get("one"))
    clock.now = 9.9
    assert not first.holds("one"), "it stops before another may begin"
    assert not await second.hold(await records.get("one"))
    clock.now = 10.0
    assert await second.hold(await records.get("one"))
    assert not await first.hold(await records.get("one"))


async def test_a_live_servers_never(database: Database, records: WatcherRecords) -> None:
    clock = Clock()
    first, second = servers(database, clock)
    for step in range(40):
        clock.now = step * 2.0
        assert await first.hold(await records.get("one"))
        assert first.holds("one")
        assert not await second.hold(await records.get("one"))


async def test_its_own_lease_is_kept_over_a_restart(database: Database, records: WatcherRecords) -> None:
    clock = Clock()
    first, _ = servers(database, clock)
    await first.hold(await records.get("one"))
    again, _ = servers(database, clock)
    assert await again.hold(await records.get("one"))
