"""Routes by the first word of their path: the same answers, whatever router they came from."""

import json

import pytest
from fastapi import APIRouter, FastAPI

from ksnap.server.routes.dashboard.first_words import by_first_word, first_word
from tests.parties.asgi import call


@pytest.fixture(scope="module")
def app() -> FastAPI:
    one, other = APIRouter(), APIRouter()

    @one.get("/{kind}/{name}")
    async def anything(kind: str, name: str) -> str:
        return f"any {kind} {name}"

    @one.get("/pod")
    async def pods() -> str:
        return "pods"

    @other.get("/pod/{namespace}")
    async def some(namespace: str, cluster: str = "") -> str:
        return f"pods of {namespace} in {cluster or 'the default'}"

    @other.get("/podgroup")
    async def groups() -> str:
        return "groups"

    found = FastAPI(redirect_slashes=False)
    for router in by_first_word([one, other]):
        found.include_router(router, prefix="/api/v1")
        found.include_router(router, prefix="/clusters/{cluster}/api/v1")
    return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pod", "pods"),
        ("/api/v1/pod/x", "pods of x in the default"),
        ("/api/v1/podgroup", "groups"),
        ("/api/v1/node/x", "any node x"),
        ("/clusters/pod/api/v1/pod", "pods"),
        ("/clusters/c/api/v1/pod/x", "pods of x in c"),
        ("/clusters/c/api/v1/node/x", "any node x"),
    ],
)
async def test_what_answers(app: FastAPI, path: str, expected: str) -> None:
    status, _, body = await call(app, path, application=app)
    assert (status, json.loads(body)) == (200, expected)


@pytest.mark.parametrize("path", ["/", "/pod", "/api/v1", "/api/v1/", "/api/v1/nothing", "/clusters/c", "/api/v2/pod"])
async def test_what_does_not(app: FastAPI, path: str) -> None:
    assert (await call(app, path, application=app))[0] == 404


async def test_a_wrong_method_is_told_the_right_ones(app: FastAPI) -> None:
    status, headers, _ = await call(app, "/api/v1/pod", method="POST", application=app)
    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/api/v1/pod", "pod"),
        ("/api/v1/pod/a/b/c/d/e/f", "pod"),
        ("/clusters/x/api/v1/node/y", "node"),
        ("/clusters/x", None),
        ("/clusters", None),
        ("/api/v1/", ""),
        ("/api/v1", None),
        ("/", None),
        ("", None),
        ("/api/v2/pod", None),
    ],
)
def test_the_word(path: str, word: str | None) -> None:
    assert first_word({"path": path}) == word
