"""Asking the API server, with the standard library: whether it is ready, and which nodes are."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.cluster.errors import NotReadyError

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Api:
    """The API server as its administrator sees it."""

    host: str
    pki: Path

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET; status 0 if nobody answers."""
        return self._call("GET", path)

    def ready(self) -> bool:
        """Whether the API server serves, its own start-up work done."""
        return self.get("/readyz")[0] == 200

    def nodes(self) -> dict[str, bool]:
        """Every registered node, and whether it is Ready."""
        status, body = self.get("/api/v1/nodes")
        if status != 200:
            return {}
        return {item["metadata"]["name"]: is_ready(item) for item in json.loads(body)["items"]}

    def forget_ready(self, name: str) -> None:
        """Let a registered node count as Unknown until its kubelet speaks again.

        The API server would go on showing the Ready of the node's former life for most of a minute.
        """
        condition = {"type": "Ready", "status": "Unknown", "reason": "Restarting", "message": "started by dev.cluster"}
        self._call(
            "PATCH",
            f"/api/v1/nodes/{name}/status",
            {"Content-Type": "application/strategic-merge-patch+json"},
            json.dumps({"status": {"conditions": [condition]}}),
        )

    def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None
    ) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        connection = http.client.HTTPSConnection(self.host, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(method, path, body=body, headers={"User-Agent": "ksnap-dev-cluster", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


def is_ready(node: dict[str, Any]) -> bool:
    """Whether a node's Ready condition is True."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wait_for(what: str, condition: Callable[[], bool], *, timeout_s: float, explain: Callable[[], str]) -> None:
    """Ask until the answer is yes; after the deadline, raise with an explanation made at that moment."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotReadyError(f"{what}: not after {timeout_s:.0f} s\n{explain()}")
        time.sleep(0.1)
