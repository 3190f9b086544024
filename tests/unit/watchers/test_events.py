"""What is told of a pod: without repetition, and bounded."""

from ksnap.store.database import Database
from ksnap.watchers.events import PodId, Told, WatcherEvents
from ksnap.watchers.records import WatcherRecords

WEB, API = PodId("shop", "web", "u1", "web"), PodId("other", "api", "u2", "api")


async def listed(events: WatcherEvents, **wanted: str) -> list[tuple[str, str]]:
    found = await events.list(
        "one", namespace=wanted.get("namespace"), pod=wanted.get("pod"), after=int(wanted.get("after", 0)), limit=10
    )
    return [(each.pod_name, each.message) for each in found]


async def test_the_same_word_is_told_once(database: Database, records: WatcherRecords) -> None:
    events = WatcherEvents(database)
    for message in ("not Ready", "not Ready", "job 1", "not Ready"):
        await events.tell("one", WEB, Told.WAITING, message)
    await events.tell("one", API, Told.WAITING, "not Ready")
    assert await listed(events, pod="web") == [("web", "not Ready"), ("web", "job 1"), ("web", "not Ready")]
    assert await listed(events, namespace="other") == [("api", "not Ready")]
    assert await listed(events, after="3") == [("api", "not Ready")]


async def test_the_oldest_go(database: Database, records: WatcherRecords) -> None:
    events = WatcherEvents(database)
    for number in range(5):
        await events.tell("one", WEB, Told.FROZEN, str(number))
        await events.tell("two", WEB, Told.FROZEN, str(number))
    await events.sweep("one", keep=2)
    assert await listed(events) == [("web", "4"), ("web", "3")]
    assert len(await events.list("two", namespace=None, pod=None, after=0, limit=10)) == 5
    await records.remove("two")
    assert await events.list("two", namespace=None, pod=None, after=0, limit=10) == []
