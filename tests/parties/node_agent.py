"""The captures of an agent without a node: its journal and folders are real, its kubelet is never asked.

    async with Captures(settings, kubelet_of(settings)) as captures: ...

For what an agent does with what a former one left: journal entries are laid out by the test.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ksnap.agent.api_server import ServiceAccount
from ksnap.agent.journal import Journal, JournalEntry, without_credentials
from ksnap.agent.kubelet import Kubelet
from ksnap.agent.settings import AgentSettings
from ksnap.node.protocol import CaptureRequest, Destination, ServerDestination
from tests.parties.certificates import issue_certificate

CONTAINER_ID = "a" * 64
ARCHIVE = "checkpoint-web_shop-app-2026-11-22T10:10:08Z.tar"


def agent_settings(folder: Path, **changes: float | str) -> AgentSettings:
    """An agent whose folders lie in `folder`; they exist."""
    folders = {name: folder / name for name in ("checkpoints", "state", "containers", "tasks", "account")}
    for each in folders.values():
        each.mkdir(exist_ok=True)
    if not (folders["account"] / "ca.crt").exists():
        (folders["account"] / "ca.crt").write_text(issue_certificate(folder).ca_pem)
        (folders["account"] / "token").write_text("of no API server")
    fields: dict[str, Any] = {
        "node_name": "node1",
        "checkpoints_dir": folders["checkpoints"],
        "state_dir": folders["state"],
        "containers_dir": folders["containers"],
        "tasks_dir": folders["tasks"],
        "service_account_dir": folders["account"],
        "kubelet_port": 1,
        "min_free_bytes": 0,
        **changes,
    }
    return AgentSettings(**fields)


def kubelet_of(settings: AgentSettings) -> Kubelet:
    return Kubelet(settings, ServiceAccount(settings.service_account_dir))


def request(destination: Destination | None = None, *, timeout_s: float = 600.0) -> CaptureRequest:
    return CaptureRequest(
        namespace="shop",
        pod="web",
        pod_uid="1",
        container="app",
        container_id=f"containerd://{CONTAINER_ID}",
        destination=destination or ServerDestination(),
        timeout_s=timeout_s,
    )


def lay_entry(
    settings: AgentSettings, capture_id: str, asked: CaptureRequest, *, age_s: float = 0.0, **fields: Any
) -> JournalEntry:
    """What a former agent wrote down of a capture."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    entry = JournalEntry(id=capture_id, request=without_credentials(asked), created_at=at, changed_at=at).model_copy(
        update=fields
    )
    journal = Journal(settings.state_dir)
    journal.prepare()
    journal.save(capture_id, entry.model_dump_json(), 1)
    return entry


def is_journaled(settings: AgentSettings, capture_id: str) -> bool:
    return (settings.state_dir / "journal" / f"{capture_id}.json").exists()
