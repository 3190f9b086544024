"""The node set-up's questions to the API server, by the agent's service account: few, and one after the other."""

import json
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from ksnap.agent.api_server import ServiceAccount
from ksnap.agent.node_setup.cpu import CPU_LABEL
from ksnap.agent.settings import AgentSettings
from ksnap.errors import NotPermitted, Unavailable
from ksnap.model.checkpoint_key import RESTORE_LABEL

Json = dict[str, Any]

# The RuntimeClass' scheduling asks for it.
RUNTIME = "runtime"
NONE = "none"

_TIMEOUT_S = 15
_PATCH = "application/strategic-merge-patch+json"
# A pod that has been starting for longer is stuck, and a restart of containerd takes nothing from it.
_STARTING_FOR = timedelta(minutes=5)
# What the kubelet says of containers that containerd is at work on.
_AT_WORK = frozenset({"ContainerCreating", "PodInitializing"})


class Api:
    """The API server as this node's agent may use it."""

    def __init__(self, settings: AgentSettings) -> None:
        account = ServiceAccount(Path(settings.service_account_dir))
        host = settings.api_server_host
        self._base = f"https://{f'[{host}]' if ':' in host else host}:{settings.api_server_port}"
        self._account = account
        self._tls = account.tls()

    def get(self, path: str) -> Json:
        return self._call("GET", path, None)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """A strategic merge patch."""
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        request = urllib.request.Request(  # noqa: S310 - the scheme is ours
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._account.token()}", "Content-Type": _PATCH},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._tls) as response:  # noqa: S310
                answer: Json = json.load(response)
        except HTTPError as exc:
            kind = NotPermitted if exc.code in {401, 403} else Unavailable
            raise kind("The API server refused the node set-up", details=f"{method} {path}: status {exc.code}") from exc
        except (URLError, OSError, ValueError) as exc:
            raise Unavailable("The API server gave no answer", details=f"{method} {path}: {exc}") from exc
        return answer


def label(api: Api, node: str, *, restore: str | None, cpu: str | None) -> None:
    """Say on the node by which engine it restores, and what its CPU can; None takes a label away."""
    api.patch(f"/api/v1/nodes/{quote(node)}", {"metadata": {"labels": {RESTORE_LABEL: restore, CPU_LABEL: cpu}}})


def pods_starting(api: Api, node: str, own_pod: str) -> list[str]:
    """The node's other pods whose containers containerd is at work on."""
    return starting_pods(api.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{quote(node)}"), own_pod)


def starting_pods(pods: Mapping[str, Any], own_pod: str, *, now: datetime | None = None) -> list[str]:
    """Pods whose containers containerd is at work on."""
    moment = now or datetime.now(UTC)
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in pods["items"]
        if each["metadata"]["name"] != own_pod and _is_starting(each, moment)
    ]


def _is_starting(pod: Mapping[str, Any], now: datetime) -> bool:
    status = pod.get("status", {})
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    if status.get("phase") in {"Succeeded", "Failed"} or now - created > _STARTING_FOR:
        return False
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    if not containers:
        return True
    reasons = {(each.get("state", {}).get("waiting") or {}).get("reason") for each in containers} - {None}
    # One that waits for something else (a pull, the next try) holds up those behind it.
    return bool(reasons) and reasons <= _AT_WORK
