"""Nothing in a request blocks the event loop: login, changes, lists, metrics, watched by blockbuster."""

import json
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from ksnap.server.app import create_app
from ksnap.settings import ServerSettings
from tests.parties.asgi import call


@pytest.mark.timeout(120)
async def test_no_call_blocks(tmp_path: Path) -> None:
    settings = ServerSettings.model_validate({"data_dir": tmp_path / "data", "admin_password": "only for tests 1"})
    app = create_app(settings)

    async def ask(method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
        headers = [("Content-Type", "application/json"), ("Authorization", f"Bearer {token}")][: 2 if token else 1]
        chunks = [json.dumps(body).encode() if body is not None else b""]
        status, _headers, answer = await call(app, path, method=method, headers=headers, chunks=chunks, application=app)
        assert status == 200, answer
        return json.loads(answer) if path != "/metrics" else answer

    async with app.router.lifespan_context(app):
        with blockbuster_ctx("ksnap"):
            login = {"username": "admin", "password": "only for tests 1"}
            token = (await ask("POST", "/config/user/login", login))["token"]
            registry = {"name": "r", "url": "r.example", "username": "u", "password": "p"}
            await ask("POST", "/config/registry/create", registry, token)
            cluster = {"name": "c", "api_server_url": "https://c.example", "token": "t", "registry_name": "r"}
            await ask("POST", "/config/clusters/create", cluster, token)
            new = {"username": "ann", "password": "securepassword", "role": "viewer"}
            await ask("POST", "/config/user/create", new, token)
            for path in ("/config/registry/list", "/config/clusters/list", "/config/user/list", "/checkpoint/list"):
                await ask("GET", path, None, token)
            for path in ("/health", "/health/live", "/metrics", "/cluster/statistics"):
                await ask("GET", path, None, token)
