"""/health and its probes, /metrics."""

from pathlib import Path

import aiohttp

from tests.parties.server import running_server
from tests.server.client import Client


async def test_health_is_anonymous_and_names_its_checks(anonymous: Client) -> None:
    for path in ("/health", "/health/ready"):
        answer = await anonymous.get(path)
        assert answer.status == 200
        assert answer.body["status"] == "healthy"
        assert answer.body["checks"] == {"database": "ok", "blob_store": "ok"}
    assert (await anonymous.get("/health/live")).body == {"status": "alive"}


async def test_a_store_that_is_gone_is_unhealthy_and_shows_no_path(tmp_path: Path) -> None:
    """The envelope, and the word that the contract's section 3.9 has."""
    blobs = tmp_path / "blobs"
    with running_server(tmp_path / "data", {"KSNAP_BLOB_STORE_URL": f"file://{blobs}"}) as server:
        blobs.rmdir()
        for path in ("/health", "/health/ready"):
            async with aiohttp.ClientSession(server.url) as session, session.get(path) as answer:
                assert answer.status == 503
                assert await answer.json() == {
                    "success": False,
                    "error": "The server cannot work",
                    "details": "blob_store: not available",
                    "code": "SERVICE_UNAVAILABLE",
                    "status": "unhealthy",
                }
        assert any("health_check_failed" in line and str(blobs) in line for line in server.log)


async def test_metrics_are_for_viewers(anonymous: Client, admin: Client) -> None:
    assert (await anonymous.get("/metrics")).status == 401
    await admin.get("/no-such-path")
    answer = await admin.get("/metrics")
    assert answer.status == 200
    assert 'ksnap_http_requests_total{method="GET",route="/health",status="200"}' in answer.text
    assert "no-such-path" not in answer.text
