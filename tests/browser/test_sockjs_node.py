"""sockjs-client in Node, over each transport that it has there."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.browser.expected import all_scenarios

SCRIPT = Path(__file__).parent / "node_client.js"
LIMIT_S = 50


@pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "eventsource", "xhr-polling"])
async def test_all_that_a_client_does(sockjs_url: str, npm_packages: Path, transport: str) -> None:
    node = await asyncio.create_subprocess_exec(
        *("node", str(SCRIPT), "all", sockjs_url, "/echo", transport),
        env={**os.environ, "NODE_PATH": str(npm_packages)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await asyncio.wait_for(node.communicate(), LIMIT_S)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, complained.decode()
    assert json.loads(said) == all_scenarios(transport)
