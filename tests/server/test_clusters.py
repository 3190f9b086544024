"""/config/clusters/*: every row of the contract's section 3.4, and /config/cluster/*, upstream's paths."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from tests.parties.certificates import issue_certificate
from tests.parties.server import RunningServer
from tests.server.client import Client, fresh

TOKEN = "cluster-token-4711"
CONTEXT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://own.example:6443"}}],
    "users": [{"name": "u", "user": {"token": TOKEN}}],
}


def encoded(config: object) -> str:
    return base64.b64encode(yaml.safe_dump(config).encode()).decode()


def with_part(group: str, kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """The kubeconfig with its cluster or user replaced."""
    name = CONTEXT[group][0]["name"]
    return {**CONTEXT, group: [{"name": name, kind: part}]}


def body(**change: object) -> dict[str, object]:
    return {
        "name": fresh("cluster"),
        "api_server_url": "https://c.example:6443",
        "auth_type": "kubeconfig",
        "kubeconfig_content": encoded(CONTEXT),
        **change,
    }


@pytest.fixture
async def name(admin: Client) -> AsyncIterator[str]:
    new = body()
    assert (await admin.post("/config/clusters/create", new)).body["success"] is True
    yield str(new["name"])
    await admin.delete("/config/clusters/delete", {"name": new["name"]})


async def listed(admin: Client, name: str) -> dict[str, Any] | None:
    answer = await admin.get("/config/clusters/list")
    assert answer.status == 200
    assert set(answer.body) == {"success", "message", "cluster_configs"}
    assert TOKEN not in answer.text
    return next((each for each in answer.body["cluster_configs"] if each["name"] == name), None)


async def test_a_list_shows_the_contracts_fields_and_no_secret(admin: Client, name: str) -> None:
    found = await listed(admin, name)
    assert found == {
        "name": name,
        "api_server_url": "https://c.example:6443",
        "auth_type": "kubeconfig",
        "registry_name": None,
        "repo": "snap_images",
        "verify_ssl": True,
        "timeout_s": 30,
    }


@pytest.mark.parametrize("path", ["/config/clusters", "/config/cluster"])
async def test_both_paths_and_upstreams_names_work(admin: Client, path: str) -> None:
    new = {"name": fresh("alias"), "kube_api_url": "https://c.example/", "token": TOKEN, "repo": "team/images"}
    assert (await admin.post(f"{path}/create", new)).status == 200
    assert (await admin.get(f"{path}/list")).status == 200
    found = await listed(admin, str(new["name"]))
    assert found is not None
    assert (found["api_server_url"], found["auth_type"], found["repo"]) == ("https://c.example", "token", "team/images")
    assert (await admin.put(f"{path}/update", {"name": new["name"], "timeout_s": 5})).status == 200
    assert (await admin.delete(f"{path}/delete", {"name": new["name"]})).status == 200
    assert await listed(admin, str(new["name"])) is None


async def test_a_service_account_needs_no_secret(admin: Client) -> None:
    new = {
        "name": fresh("local"),
        "api_server_url": "https://kubernetes.default.svc",
        "auth_type": "service_account",
    }
    assert (await admin.post("/config/clusters/create", new)).status == 200
    await admin.delete("/config/clusters/delete", {"name": new["name"]})


async def test_a_taken_name_is_already_exists(admin: Client, name: str) -> None:
    answer = await admin.post("/config/clusters/create", body(name=name))
    assert (answer.status, answer.code) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": "a/../b"}, "name"),
        ({"name": "summary"}, "name"),
        ({"name": "report"}, "name"),
        ({"api_server_url": None}, "api_server_url"),
        ({"api_server_url": "http://c.example"}, "api_server_url"),
        ({"api_server_url": "https://u:p@c.example"}, "api_server_url"),
        ({"api_server_url": "https://"}, "api_server_url"),
        ({"api_server_url": 5}, "api_server_url"),
        ({"api_server_url": "https://a..b"}, "api_server_url"),
        ({"auth_type": "password"}, "auth_type"),
        ({"kubeconfig_content": None}, "kubeconfig_content"),
        ({"kubeconfig_content": "%%%"}, "kubeconfig_content"),
        ({"kubeconfig_content": base64.b64encode(b"\xff\xfe").decode()}, "kubeconfig_content"),
        ({"kubeconfig_content": base64.b64encode(b"{a: [").decode()}, "kubeconfig_content"),
        ({"auth_type": "token"}, "kubeconfig_content"),
        ({"auth_type": "token", "kubeconfig_content": None}, "token"),
        ({"auth_type": "token", "kubeconfig_content": None, "token": f"{TOKEN}\nsecond"}, "token"),
        ({"auth_type": "token", "kubeconfig_content": None, "token": f"{TOKEN}\rsecond"}, "token"),
        ({"auth_type": "token", "kubeconfig_content": None, "token": f"{TOKEN}\0"}, "token"),
        ({"token": TOKEN}, "token"),
        ({"repo": "Upper"}, "repo"),
        ({"repo": "../x"}, "repo"),
        ({"registry_name": "../x"}, "registry_name"),
        ({"verify_ssl": 1}, "verify_ssl"),
        ({"ca_cert": "x"}, "ca_cert"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": "5"}, "timeout_s"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(admin: Client, change: dict[str, object], field: str) -> None:
    new = body(**change)
    answer = await admin.post("/config/clusters/create", new)
    if change == {"token": TOKEN}:
        # A token beside a kubeconfig is not used; it is no mistake that could hurt.
        assert answer.status == 200
        await admin.delete("/config/clusters/delete", {"name": new["name"]})
        return
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details
    assert TOKEN not in answer.text
    assert await listed(admin, str(new["name"])) is None


USER_EXEC = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id"]}}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({}, "no clusters"),
        ({**CONTEXT, "current-context": ""}, "current-context"),
        ({**CONTEXT, "current-context": "other"}, "context"),
        ({**CONTEXT, "users": []}, "user"),
        (with_part("users", "user", USER_EXEC), "exec"),
        (with_part("users", "user", {"auth-provider": {"name": "gcp"}}), "auth-provider"),
        (with_part("users", "user", {"tokenFile": "/etc/passwd"}), "tokenFile"),
        (with_part("users", "user", {"client-certificate": "/x", "client-key": "/y"}), "client-certificate"),
        (with_part("clusters", "cluster", {"certificate-authority": "/etc/passwd"}), "certificate-authority"),
        (with_part("clusters", "cluster", {"certificate-authority-data": "bm8="}), "CA"),
        (with_part("users", "user", {"token": "two\nlines"}), "token"),
        (with_part("users", "user", {"username": "ann", "password": "\ud800"}), "password"),
        (with_part("users", "user", {"client-certificate-data": "bm8=", "client-key-data": "bm8="}), "certificate"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_refused_with_its_reason(
    admin: Client, config: dict[str, Any], why: str
) -> None:
    answer = await admin.post("/config/clusters/create", body(kubeconfig_content=encoded(config)))
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert why in answer.details


async def test_update_merges_and_empty_secrets_keep_the_stored_ones(admin: Client, name: str) -> None:
    change = {"name": name, "kubeconfig_content": "", "token": "", "repo": "other", "unknown": 1}
    assert (await admin.put("/config/clusters/update", change)).status == 200
    found = await listed(admin, name)
    assert found is not None
    assert (found["repo"], found["auth_type"], found["api_server_url"]) == (
        "other",
        "kubeconfig",
        "https://c.example:6443",
    )
    switched = await admin.put("/config/clusters/update", {"name": name, "auth_type": "token"})
    assert (switched.status, switched.code) == (422, "VALIDATION_ERROR")
    assert (await admin.put("/config/clusters/update", {"name": name, "token": TOKEN})).status == 200
    found = await listed(admin, name)
    assert found is not None
    assert found["auth_type"] == "token"


async def test_references_are_checked(admin: Client, name: str) -> None:
    absent = fresh("absent")
    for answer in (
        await admin.post("/config/clusters/create", body(registry_name=absent)),
        await admin.put("/config/clusters/update", {"name": name, "registry": absent}),
    ):
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
        assert absent in answer.details


async def test_what_is_not_there_is_cluster_not_found(admin: Client) -> None:
    absent = {"name": fresh("absent")}
    for answer in (
        await admin.put("/config/clusters/update", absent),
        await admin.delete("/config/clusters/delete", absent),
        await admin.post("/config/clusters/test", absent),
    ):
        assert (answer.status, answer.code) == (404, "CLUSTER_NOT_FOUND")


async def test_a_cluster_that_does_not_answer_is_told_apart(admin: Client) -> None:
    new = body(api_server_url="https://127.0.0.1:9", timeout_s=2)
    await admin.post("/config/clusters/create", new)
    answer = await admin.post("/config/clusters/test", {"name": new["name"]})
    assert (answer.status, answer.code) == (502, "CLUSTER_CONNECTION_FAILED")
    assert TOKEN not in answer.text
    await admin.delete("/config/clusters/delete", {"name": new["name"]})


async def test_a_ca_is_taken_as_pem(admin: Client, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ca = issue_certificate(tmp_path_factory.mktemp("ca")).ca_pem
    assert (await admin.put("/config/clusters/update", {"name": name, "ca_cert": ca})).status == 200


async def test_a_bad_token_is_refused_by_an_update_as_well(admin: Client, name: str) -> None:
    answer = await admin.put("/config/clusters/update", {"name": name, "token": f"{TOKEN}\nsecond"})
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert "token" in answer.details
    assert TOKEN not in answer.text


async def test_a_cas_comments_may_be_of_any_language(
    admin: Client, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Python's TLS takes ASCII alone; the connection that is tried then fails for its host and nothing else."""
    ca = "# Zürich\n" + issue_certificate(tmp_path_factory.mktemp("ca")).ca_pem
    change = {"name": name, "ca_cert": ca, "api_server_url": "https://127.0.0.1:1"}
    assert (await admin.put("/config/clusters/update", change)).status == 200
    tested = await admin.post("/config/clusters/test", {"name": name})
    assert (tested.status, tested.code) == (502, "CLUSTER_CONNECTION_FAILED")


async def test_credentials_are_nowhere_in_clear(server: RunningServer, admin: Client, name: str) -> None:
    stored = b"".join(each.read_bytes() for each in server.data_dir.iterdir() if each.is_file())
    assert name.encode() in stored
    assert TOKEN.encode() not in stored
    assert encoded(CONTEXT)[:60].encode() not in stored
    assert TOKEN not in "".join(server.log)
