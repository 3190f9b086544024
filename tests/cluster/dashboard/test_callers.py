"""As whom the dashboard acts in a cluster: by a login of ksnap, by a Kubernetes token, by impersonation."""

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, configure, rule
from tests.parties.server import RunningServer


async def test_a_login_acts_as_its_user(dashboard: Dashboard) -> None:
    assert await dashboard.ok("/me") == {"name": "admin", "authenticated": True}


async def test_a_kubernetes_token_acts_as_itself(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    """And not as the administrator whose client certificate the server has for itself."""
    with account(kubectl, namespace) as token:
        said = await dashboard.as_token(token).ok("/me")
    assert said["name"].startswith("caller-")


async def test_impersonation_by_one_who_may(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    may = rule("users", "impersonate")
    headers = {"Impersonate-User": "ann", "Impersonate-Extra-team": "a%2Fb"}
    with account(kubectl, namespace, cluster_rules=[may]) as token:
        as_ann = await dashboard.as_token(token).call("GET", "/me", headers={"Impersonate-User": "ann"})
        with_extra = await dashboard.as_token(token).call("GET", "/me", headers=headers)
    assert as_ann.body == {"name": "ann", "authenticated": True}
    assert (with_extra.status, "userextras" in with_extra.text) == (403, True), with_extra


async def test_impersonation_without_the_right(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    with account(kubectl, namespace) as token:
        answer = await dashboard.as_token(token).call("GET", "/me", headers={"Impersonate-User": "ann"})
    assert answer.status == 403
    assert answer.text.startswith("forbidden: ")


async def test_groups_without_a_user_are_a_mistake(dashboard: Dashboard) -> None:
    answer = await dashboard.as_token("not-of-ksnap").call("GET", "/me", headers={"Impersonate-Group": "a"})
    assert answer.status == 400
    assert "Impersonate-User" in answer.text


async def test_a_login_impersonates_nobody(dashboard: Dashboard) -> None:
    answer = await dashboard.call("GET", "/me", headers={"Impersonate-User": "ann"})
    assert answer.status == 400


async def test_a_token_that_is_not_good(dashboard: Dashboard) -> None:
    for token in ("nonsense", ""):
        answer = await dashboard.as_token(token).get("/me")
        assert (answer.status, answer.text) == (401, "MSG_LOGIN_UNAUTHORIZED_ERROR")
        assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_failure_as_json_for_those_who_take_nothing_else(dashboard: Dashboard) -> None:
    answer = await dashboard.as_token("nonsense").call("GET", "/me", headers={"Accept": "application/json"})
    status = answer.body["ErrStatus"]
    assert (answer.status, status["code"], status["reason"]) == (401, 401, "Unauthorized")
    assert status["details"]["name"] == "MSG_LOGIN_UNAUTHORIZED_ERROR"


async def test_login_with_both_kinds_of_token(dashboard: Dashboard, kubectl: Kubectl, namespace: str) -> None:
    nobody = dashboard.as_token("")
    with account(kubectl, namespace) as token:
        for good in (token, dashboard.token):
            answer = await nobody.call("POST", "/login", {"token": good})
            assert (answer.status, answer.body) == (200, {"token": good})
    for bad in ("nonsense", ""):
        assert (await nobody.call("POST", "/login", {"token": bad})).status == 401
    assert (await nobody.call("POST", "/login", {"nothing": 1})).status == 400


async def test_a_post_needs_its_csrf_token(dashboard: Dashboard) -> None:
    body = {"token": dashboard.token}
    for wrong in ("", "x", (await dashboard.ok("/csrftoken/namespace"))["token"]):
        answer = await dashboard.call("POST", "/login", body, headers={"X-CSRF-TOKEN": wrong})
        assert (answer.status, answer.text) == (401, "MSG_CSRF_VALIDATION_ERROR")


async def test_bodies_and_answers_of_other_types(dashboard: Dashboard) -> None:
    as_text = await dashboard.call("POST", "/login", {"token": "x"}, headers={"Content-Type": "text/plain"})
    assert as_text.status == 415
    assert (await dashboard.call("GET", "/me", headers={"Accept": "image/png"})).status == 406
    assert (await dashboard.call("GET", "/me", headers={"Accept": "text/html, */*;q=0.1"})).status == 200


async def test_paths_that_are_none(dashboard: Dashboard) -> None:
    answer = await dashboard.get("/nothing/like/this")
    assert (answer.status, answer.text) == (404, "404: Page Not Found")
    wrong = await dashboard.call("DELETE", "/me")
    assert (wrong.status, "GET" in wrong.headers["Allow"]) == (405, True)


async def test_other_clusters_by_name(
    dashboard: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo
) -> None:
    assert (await dashboard.below("/clusters/dev/api/v1").ok("/me"))["name"] == "admin"
    unknown = await dashboard.below("/clusters/nowhere/api/v1").get("/me")
    assert unknown.status == 404


async def test_a_cluster_that_does_not_answer(dashboard_server: RunningServer, dashboard: Dashboard) -> None:
    configure(dashboard_server, "default", api_server_url="https://127.0.0.1:1", token="t")
    try:
        answer = await dashboard.below("/clusters/default/api/v1").get("/me")
        assert answer.status == 502
        assert "unreachable" in answer.text
    finally:
        gone = await dashboard.below("").call("DELETE", "/config/clusters/delete", {"name": "default"})
        assert gone.status == 200, gone
