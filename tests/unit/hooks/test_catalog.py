"""The hooks' memory of checkpoints, over a real database: what is found, what is too old, what is coming."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ksnap.errors import InvalidInput
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.decision import Known
from ksnap.hooks.tags import Tags, located
from ksnap.model.checkpoint_key import CheckpointKey
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job, JobEvent

DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
KEY = CheckpointKey("dev", "shop", "Deployment/web", "web", "web", "r.example/web:1", DIGEST, "abc", "def")
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def stored(
    database: Database,
    number: int,
    *,
    status: str = "completed",
    image: str = "i.example/web:t",
    key: CheckpointKey = KEY,
) -> str:
    """A checkpoint as its job leaves it, with the event that comes with it."""
    checkpoint_id = f"{number:020x}"
    row = Checkpoint(
        id=checkpoint_id, cluster_name="dev", namespace="shop", pod_name=f"web-{number}", pod_uid="u",
        container_name="web", container_id="c", node_name="n", status=status, filename="f", key=key.annotations(),
        key_digest=key.digest(), pod_encrypted=b"", created_at=BEGUN + timedelta(seconds=number), created_by="admin",
        image=image or None, image_digest=OTHER if image else None, archive_annotations={},
    )  # fmt: skip
    job = Job(
        id=f"job-{number}", kind="checkpoint", status="running", checkpoint_id=checkpoint_id, cluster_name="dev",
        namespace="shop", pod_name="web", started_by="admin", request={}, created_at=BEGUN,
    )  # fmt: skip
    async with database.writing() as session:
        session.add_all([row, job])
    await told(database, f"job-{number}")
    return checkpoint_id


async def told(database: Database, job_id: str) -> None:
    async with database.writing() as session:
        session.add(JobEvent(job_id=job_id, at=BEGUN, task_name="t", stage="s", progress=1.0))


async def test_the_newest_that_was_pushed_is_found(database: Database, catalog: Catalog) -> None:
    assert catalog.find(KEY.slot) == "there is no checkpoint of it"
    await stored(database, 1)
    newer = await stored(database, 2)
    await stored(database, 3, image="")
    await stored(database, 4, status="failed")
    await catalog.look()
    assert catalog.find(KEY.slot) == Known(newer, f"i.example/web@{OTHER}", "r.example/web:1")


@pytest.mark.parametrize(
    "part", ["cluster", "namespace", "owner", "container", "image", "template_hash", "environment_hash"]
)
async def test_another_workload_s_is_not(database: Database, catalog: Catalog, part: str) -> None:
    await stored(database, 1)
    await catalog.look()
    assert isinstance(catalog.find(KEY.slot), Known)
    assert isinstance(catalog.find(replace(KEY, **{part: "other"}).slot), str)


async def test_one_that_is_too_old_is_not_used(database: Database, catalog: Catalog) -> None:
    await stored(database, 0)
    await catalog.look()
    assert isinstance(catalog.find(KEY.slot, max_age_s=60, now=BEGUN + timedelta(seconds=60)), Known)
    assert catalog.find(KEY.slot, max_age_s=60, now=BEGUN + timedelta(seconds=61)) == "its checkpoint is too old"


async def test_what_another_server_ends_is_seen_at_the_next_look(database: Database, catalog: Catalog) -> None:
    await catalog.look()
    first = await stored(database, 1, status="running", image="")
    await catalog.look()
    assert (catalog.find(KEY.slot), catalog.is_being_made(KEY.slot)) == ("a checkpoint is being made", True)
    async with database.writing() as session:
        row = await session.get_one(Checkpoint, first)
        row.status, row.image, row.image_digest = "completed", "i.example/web:t", OTHER
    await told(database, "job-1")
    await catalog.look()
    assert (isinstance(catalog.find(KEY.slot), Known), catalog.is_being_made(KEY.slot)) == (True, False)
    async with database.writing() as session:
        await session.delete(await session.get_one(Checkpoint, first))
    await told(database, "job-1")
    await catalog.look()
    assert catalog.find(KEY.slot) == "there is no checkpoint of it"


async def test_who_waits_goes_on_when_it_is_made_and_when_the_time_is_over(
    database: Database, catalog: Catalog
) -> None:
    await catalog.look()
    first = await stored(database, 1, status="running", image="")
    catalog.tell(first)
    await catalog.look()
    await asyncio.wait_for(catalog.settled([KEY.slot], 0.01), 30)
    waiting = asyncio.create_task(catalog.settled([KEY.slot], 3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    async with database.writing() as session:
        (await session.get_one(Checkpoint, first)).status = "failed"
    catalog.tell(first)
    await catalog.look()
    await asyncio.wait_for(waiting, 30)


async def test_a_moved_tag_takes_the_checkpoint_away(database: Database, catalog: Catalog, tags: Tags) -> None:
    older = await stored(database, 1)
    await stored(database, 2, key=replace(KEY, image_digest=OTHER))
    await catalog.look()
    tags.learn(KEY.image, "head", {DIGEST, "config"})
    found = catalog.find(KEY.slot)
    assert isinstance(found, Known)
    assert found.checkpoint_id == older, "the tag was moved back"
    tags.learn(KEY.image, "head", {"sha256:new"})
    assert "names another image" in str(catalog.find(KEY.slot))


@pytest.mark.parametrize(
    ("image", "host", "repository", "tag"),
    [
        ("nginx", "registry-1.docker.io", "library/nginx", None),
        ("team/web:1", "registry-1.docker.io", "team/web", "1"),
        ("docker.io/team/web:1", "registry-1.docker.io", "team/web", "1"),
        ("localhost/web:1", "localhost", "web", "1"),
        ("r.example:5000/a/b", "r.example:5000", "a/b", None),
    ],
)
def test_images_are_where_runtimes_look_for_them(image: str, host: str, repository: str, tag: str | None) -> None:
    found = located(image)
    assert (found.host, found.repository, found.tag) == (host, repository, tag)


def test_nonsense_is_no_image() -> None:
    with pytest.raises(InvalidInput):
        located("UPPER case")
