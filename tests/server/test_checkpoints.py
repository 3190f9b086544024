"""/checkpoint/*, as far as no cluster is needed: lists, downloads, refusals, over what an earlier process left."""

import hashlib
import sqlite3

import pytest

from tests.parties.server import RunningServer
from tests.server.client import Client, fresh
from tests.server.seeded import Left, Seeded, Variety


@pytest.fixture(scope="module")
def server(left: Left) -> RunningServer:
    return left.server


async def ids(admin: Client, **query: str) -> list[str]:
    answer = await admin.get("/checkpoint/list", params=query)
    assert answer.status == 200
    assert list(answer.body) == ["checkpoints"]
    return [each["id"] for each in answer.body["checkpoints"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "abc"),
        ("limit", "1001"),
        ("offset", "-1"),
        ("offset", "x"),
        ("status", "deleting"),
        ("status", "Completed"),
        ("pod_name", "../x"),
        ("namespace", "a.b"),
        ("cluster_name", "Upper"),
    ],
)
async def test_a_bad_filter_is_named(admin: Client, name: str, value: str) -> None:
    answer = await admin.get("/checkpoint/list", params={name: value})
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert name in answer.details


async def test_a_list_shows_what_is_recorded_newest_first(admin: Client, seeded: Seeded, variety: Variety) -> None:
    found = (await admin.get("/checkpoint/list")).body["checkpoints"]
    assert len(found) == 6
    times = [each["created_at"] for each in found]
    assert times == sorted(times, reverse=True)
    newest = next(each for each in found if each["id"] == seeded.ids[0])
    expected = {"pod_name": variety.pod, "namespace": "shop", "status": "completed", "size": "6MB"}
    assert expected.items() <= newest.items()
    broken = next(each for each in found if each["id"] == variety.failed_id)
    assert (broken["status"], broken["error"]) == ("failed", "The dump failed")


async def test_a_list_is_filtered_and_paged(admin: Client, seeded: Seeded, variety: Variety) -> None:
    assert await ids(admin, status="running") == [variety.running_id]
    assert await ids(admin, status="failed") == [variety.failed_id]
    assert await ids(admin, pod_name="busy") == [variety.running_id]
    assert await ids(admin, namespace="elsewhere") == []
    assert await ids(admin, cluster_name="elsewhere") == []
    everything = await ids(admin)
    assert await ids(admin, limit="2", offset="1") == everything[1:3]
    assert await ids(admin, offset="6") == []


async def test_a_list_has_a_hundred_at_most_by_itself(admin: Client) -> None:
    parameters = (await admin.get("/openapi.json")).body["paths"]["/checkpoint/list"]["get"]["parameters"]
    limit = next(each["schema"] for each in parameters if each["name"] == "limit")
    assert (limit["default"], limit["minimum"], limit["maximum"]) == (100, 1, 1000)


async def test_only_completed_checkpoints_are_counted(admin: Client) -> None:
    assert (await admin.get("/cluster/statistics")).body["total_checkpoints"] == 4


async def test_a_download_is_of_the_newest_unless_an_id_chooses(
    admin: Client, seeded: Seeded, variety: Variety, server: RunningServer
) -> None:
    path = f"/checkpoint/download/{variety.pod}/{variety.filename}"
    for query, chosen in (({}, seeded.ids[0]), ({"id": variety.older_id}, variety.older_id)):
        async with admin.session.get(path, params=query) as answer:
            content = await answer.read()
            assert answer.status == 200
            assert answer.content_type == "application/octet-stream"
            assert answer.headers["ETag"] == f'"{seeded.digest}"'
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{variety.filename}"'
            assert answer.headers["Cache-Control"] == "no-store"
        assert "sha256:" + hashlib.sha256(content).hexdigest() == seeded.digest
        assert trail(server)[-1] == ("admin", "checkpoint_downloaded", f"{chosen} {variety.filename}", "ok")


async def test_what_there_is_not_cannot_be_downloaded(admin: Client, seeded: Seeded, variety: Variety) -> None:
    path = f"/checkpoint/download/{variety.pod}/{variety.filename}"
    for answer in (
        await admin.get(f"/checkpoint/download/{variety.pod}/other.tar"),
        await admin.get(f"/checkpoint/download/nobody/{variety.filename}"),
        await admin.get("/checkpoint/download/busy/other-0.tar"),
        await admin.get(path, params={"id": seeded.ids[1]}),
        await admin.get(path, params={"id": "0" * 20}),
    ):
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("Upper/x.tar", "pod_name"),
        ("web/.hidden", "filename"),
        ("web/Upper.tar", "filename"),
        ("web/x.tar?id=short", "id"),
    ],
)
async def test_a_bad_name_of_a_download_is_named(admin: Client, path: str, field: str) -> None:
    answer = await admin.get(f"/checkpoint/download/{path}")
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


@pytest.mark.parametrize(("method", "word"), [("GET", "nodes"), ("DELETE", "failures")])
async def test_an_image_is_asked_for_on_nodes_where_there_is_one(
    admin: Client, seeded: Seeded, method: str, word: str
) -> None:
    stored = await admin.call(method, f"/checkpoint/{seeded.ids[0]}/{word}")
    assert (stored.status, stored.code) == (409, "CONFLICT")
    assert "checkpoint push" in stored.details
    unknown = await admin.call(method, f"/checkpoint/0123456789abcdef0123/{word}")
    assert (unknown.status, unknown.code) == (404, "NOT_FOUND")


async def test_what_has_no_job_cannot_be_cancelled(admin: Client, seeded: Seeded) -> None:
    """tests/server/test_create_and_push.py has a job that can be."""
    for verb in ("cancel", "restore"):
        absent = await admin.post(f"/checkpoint/{'0' * 19}f/{verb}")
        assert (absent.status, absent.code) == (404, "NOT_FOUND")
    idle = await admin.post(f"/checkpoint/{seeded.ids[0]}/cancel")
    assert (idle.status, idle.code) == (409, "CONFLICT")
    assert (await admin.post(f"/jobs/{'0' * 19}f/cancel")).code == "NOT_FOUND"
    ended = await admin.post(f"/jobs/{seeded.failed_job}/cancel")
    assert (ended.status, ended.code) == (409, "CONFLICT")
    assert (await admin.delete(f"/checkpoint/{'0' * 19}f")).code == "NOT_FOUND"


FREEZE = {"pod_name": "web", "namespace": "shop", "cluster_name": "nowhere"}


@pytest.mark.parametrize(
    ("query", "body", "field"),
    [
        ({}, {}, "pod_name"),
        ({"pod_name": "../x"}, {}, "pod_name"),
        ({"pod_name": "web", "checkpoint_config_name": "Upper"}, {}, "checkpoint_config_name"),
        ({"pod_name": "web"}, {"namespace": None}, "namespace"),
        ({"pod_name": "web"}, {"cluster": None}, "cluster"),
        ({"pod_name": "web"}, {"image_name": "../x"}, "image_name"),
        ({"pod_name": "web"}, {"tag": "a b"}, "tag"),
    ],
)
async def test_a_bad_field_of_a_freeze_with_push_is_named(
    admin: Client, query: dict[str, str], body: dict[str, object], field: str
) -> None:
    given = {"namespace": "shop", "cluster": "nowhere", **body}
    answer = await admin.post("/checkpoint/kubelet/checkpoint-and-push", given, params=query)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_an_unknown_cluster_cannot_be_frozen_in(admin: Client) -> None:
    for answer in (
        await admin.post("/checkpoint/kubelet/checkpoint", FREEZE),
        await admin.post(
            "/checkpoint/kubelet/checkpoint-and-push",
            {"namespace": "shop", "cluster": "nowhere"},
            params={"pod_name": "web"},
        ),
    ):
        assert (answer.status, answer.code) == (404, "CLUSTER_NOT_FOUND")
        assert "nowhere" in answer.details


async def test_an_error_of_ours_is_the_requests_id(server: RunningServer, admin: Client) -> None:
    """A row that no version of ksnap writes stands for a mistake in it."""
    name = fresh("broken")
    assert (await admin.post("/config/registry/create", {"name": name, "url": "r.example"})).status == 200
    with sqlite3.connect(server.data_dir / "ksnap.db") as database:
        database.execute("UPDATE registries SET password_encrypted = 5, username = 'u' WHERE name = ?", (name,))
    database.close()
    answer = await admin.post("/registry/login", {"registry_config_name": name})
    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert answer.details == answer.headers["X-Request-Id"]
    assert answer.body["error"] == "Internal error"


def trail(server: RunningServer) -> list[tuple[str, str, str, str]]:
    database = sqlite3.connect(server.data_dir / "ksnap.db")
    try:
        return database.execute("SELECT username, action, target, outcome FROM audit ORDER BY id").fetchall()
    finally:
        database.close()
