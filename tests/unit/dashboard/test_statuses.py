"""Failures in the Dashboard's words (contract dashboard-api, section 3)."""

import pytest

from ksnap.dashboard.statuses import add_error, code_of, err_status, message_of
from ksnap.errors import InvalidInput, KsnapError, NotAuthenticated, NotPermitted
from ksnap.kube.failures import ClusterTimedOut, ClusterUnreachable, KubeRefusal, refusal


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NotAuthenticated("No token"), 401, "MSG_LOGIN_UNAUTHORIZED_ERROR"),
        (KubeRefusal(401, {"message": "Unauthorized"}), 401, "MSG_LOGIN_UNAUTHORIZED_ERROR"),
        (KubeRefusal(403, {"message": "pods is forbidden"}), 403, "forbidden: pods is forbidden"),
        (KubeRefusal(404, {"message": 'pods "x" not found'}), 404, 'pods "x" not found'),
        (KubeRefusal(409, {"message": "changed"}), 409, "changed"),
        (KubeRefusal(422, {"message": "x does not match the namespace y"}), 422, "MSG_DEPLOY_NAMESPACE_MISMATCH_ERROR"),
        (KubeRefusal(500, {}), 500, "the API server answered 500"),
        (InvalidInput("page is no number", details="x"), 400, "page is no number: x"),
        (NotPermitted("No"), 403, "forbidden: No"),
        (ClusterUnreachable("Away"), 502, "Away"),
        (ClusterTimedOut("Late"), 504, "Late"),
    ],
)
def test_status_and_text(error: KsnapError, code: int, message: str) -> None:
    assert (code_of(error), message_of(error)) == (code, message)
    status = err_status(error)["ErrStatus"]
    assert (status["code"], status["message"], status["status"]) == (code, message, "Failure")


def test_one_error_is_told_once() -> None:
    errors: list[dict[str, dict[str, object]]] = []
    for _ in range(2):
        add_error(errors, KubeRefusal.forbidden("list", "pods"))
    add_error(errors, KubeRefusal.forbidden("list", "deployments", group="apps", namespace="a"))
    assert [each["ErrStatus"]["reason"] for each in errors] == ["Forbidden", "Forbidden"]


def test_our_own_lack_of_rights_is_no_fault_of_the_caller() -> None:
    body = b'{"kind":"Status","message":"users \\"ksnap:a\\" is forbidden: User \\"s\\" cannot impersonate resource"}'
    assert refusal(403, body, "c", "pod", passed_on=False).status == 502
    assert refusal(401, b"", "c", "pod", passed_on=False).status == 502
    assert refusal(403, body, "c", "pod", passed_on=True).status == 403
    assert refusal(401, b"", "c", "pod", passed_on=True).status == 401
