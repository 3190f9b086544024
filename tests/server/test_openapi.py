"""The OpenAPI document, and what the server does with whatever it allows and forbids (schemathesis)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ksnap.server.app import create_app
from ksnap.settings import ServerSettings
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client

# Not negative_data_rejection: an unknown query parameter is ignored (contract, section 1), and the header that a case
# leaves out is the one that every call here has. Refusals of bad values have tests of their own, route by route.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


# From the code, since each operation becomes a test before any server runs; the server serves the same.
# Not the stream of events: its answer never ends. Its refusals are tested in test_progress_events.py.
# Nor the dashboard's paths: they are all about a cluster, and have tests with one, and failures of another form.
SCHEMA = (
    schemathesis.openapi.from_dict(create_app(ServerSettings(data_dir=Path("unused"))).openapi())
    .exclude(path="/progress/events")
    .exclude(tag="dashboard")
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Of its own: what is tried here makes users, administrators too, whom nobody takes away."""
    with running_server(tmp_path_factory.mktemp("openapi") / "data") as running:
        yield running


@SCHEMA.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_every_answer_is_as_documented(case: Any, server: RunningServer) -> None:
    case.call_and_validate(base_url=server.url, headers=server.headers, checks=CHECKS, timeout=30)


async def test_each_route_documents_itself(anonymous: Client) -> None:
    """A summary, a model of its reply, and an example of every failure."""
    document = (await anonymous.get("/openapi.json")).body
    lacking = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            route = f"{method.upper()} {path}"
            if not operation.get("summary"):
                lacking.append(f"{route}: no summary")
            if "dashboard" in operation["tags"]:
                continue
            if not operation["responses"]["200"].get("content"):
                lacking.append(f"{route}: no reply")
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not all(_examples(response)):
                    lacking.append(f"{route}: no example for {status}")
    assert lacking == []


async def test_every_code_in_an_example_belongs_to_its_status(anonymous: Client) -> None:
    document = (await anonymous.get("/openapi.json")).body
    seen: dict[str, set[str]] = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            if "dashboard" in operation.get("tags", ()):
                continue
            for status, response in operation["responses"].items():
                for example in filter(None, _examples(response)):
                    seen.setdefault(example["code"], set()).add(status)
                    assert set(example) - {"status"} == {"success", "error", "details", "code"}
    assert seen["CLUSTER_NOT_FOUND"] == {"404"}
    assert seen["ALREADY_EXISTS"] == seen["CONFLICT"] == {"409"}
    assert all(
        len(statuses) == 1 for code, statuses in seen.items() if code not in {"CHECKPOINT_FAILED", "VALIDATION_ERROR"}
    ), seen


async def test_secrets_are_declared_as_such(anonymous: Client) -> None:
    """No reply's model has a field for one; a request's is write-only."""
    document = (await anonymous.get("/openapi.json")).body
    for name, model in document["components"]["schemas"].items():
        for field, schema in model.get("properties", {}).items():
            if field in {"password", "current_password", "kubeconfig_content"} or (
                field == "token" and name != "LoggedIn"
            ):
                assert '"writeOnly": true' in json.dumps(schema), (name, field)


def _examples(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    examples = response.get("content", {}).get("application/json", {}).get("examples", {})
    for each in examples.values() or [{}]:
        yield each.get("value", {}) if isinstance(each, dict) else {}
