"""What a restarted agent finds."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ksnap.agent.journal import Journal, JournalEntry, without_credentials
from ksnap.errors import InsufficientStorage
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureEvent, CaptureRequest, CaptureStatus, RegistryDestination, Stage

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PASSWORD = "never-on-a-disk"
SIGNING_KEY = "the key that signs"


def request() -> CaptureRequest:
    registry = RegistryAccess(host="registry:5000", username="robot", password=SecretStr(PASSWORD), ca_cert="PEM")
    return CaptureRequest(
        namespace="shop",
        pod="web",
        pod_uid="1",
        container="app",
        container_id="containerd://" + "a" * 64,
        destination=RegistryDestination(
            registry=registry, repository="shop/web", tag="t", signing_key=SecretStr(SIGNING_KEY)
        ),
    )


def entry(capture_id: str = "c1") -> JournalEntry:
    return JournalEntry(id=capture_id, request=without_credentials(request()), created_at=AT, changed_at=AT)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    found = Journal(tmp_path)
    found.prepare()
    return found


def save(journal: Journal, each: JournalEntry, revision: int = 1) -> None:
    journal.save(each.id, each.model_dump_json(), revision)


def test_entry_comes_back_as_it_was(journal: Journal) -> None:
    written = entry().model_copy(update={"stage": Stage.PUSHING, "archive_path": "/x.tar", "uploads": ["https://r/u"]})
    save(journal, written)

    assert list(journal.entries()) == [written]


def test_credentials_are_never_written(journal: Journal, tmp_path: Path) -> None:
    save(journal, entry())
    text = (tmp_path / "journal" / "c1.json").read_text()

    assert PASSWORD not in text
    assert "robot" not in text
    assert SIGNING_KEY not in text


def test_credentials_travel_and_are_not_shown() -> None:
    sent = request().model_dump_json()
    assert CaptureRequest.model_validate_json(sent) == request()
    assert PASSWORD in sent
    assert SIGNING_KEY in sent
    assert not any(secret in f"{request()} {request()!r}" for secret in (PASSWORD, SIGNING_KEY))


def test_a_request_of_an_older_server_has_no_signing_key() -> None:
    content = json.loads(request().model_dump_json())
    del content["destination"]["signing_key"]
    found = CaptureRequest.model_validate(content)
    assert isinstance(found.destination, RegistryDestination)
    assert found.destination.signing_key is None
    assert without_credentials(found) == without_credentials(request())


def test_files_are_the_owners_alone(journal: Journal, tmp_path: Path) -> None:
    save(journal, entry())
    journal.append_event("c1", CaptureEvent(sequence=1, at=AT, stage=Stage.QUEUED))

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "journal").iterdir()} == {0o600}
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700


def test_revision_that_was_overtaken_is_left_out(journal: Journal) -> None:
    save(journal, entry().model_copy(update={"stage": Stage.PUSHING}), revision=2)
    save(journal, entry(), revision=1)

    assert next(journal.entries()).stage is Stage.PUSHING


def test_unreadable_entry_is_set_aside_and_hides_no_other(journal: Journal, tmp_path: Path) -> None:
    save(journal, entry("good"))
    (tmp_path / "journal" / "bad.json").write_text('{"id": ')

    assert [each.id for each in journal.entries()] == ["good"]
    assert (tmp_path / "journal" / "bad.unreadable").exists()


def test_half_written_file_goes_at_the_start(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "journal" / ".c1.new").write_text('{"id"')
    journal.prepare()

    assert list((tmp_path / "journal").iterdir()) == []


def test_events_come_back_in_order_without_a_torn_line(journal: Journal, tmp_path: Path) -> None:
    for number in (1, 2):
        journal.append_event("c1", CaptureEvent(sequence=number, at=AT, stage=Stage.DUMPING, bytes_done=number))
    with (tmp_path / "journal" / "c1.events").open("a") as file:
        file.write('{"sequence":3,"at":')

    assert [event.sequence for event in journal.events("c1")] == [1, 2]


def test_forgetting_leaves_nothing_and_may_be_repeated(journal: Journal, tmp_path: Path) -> None:
    save(journal, entry())
    journal.append_event("c1", CaptureEvent(sequence=1, at=AT, stage=Stage.QUEUED))
    journal.forget("c1")
    journal.forget("c1")

    assert list((tmp_path / "journal").iterdir()) == []
    save(journal, entry(), revision=1)
    assert next(journal.entries()).id == "c1"


def test_journal_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InsufficientStorage):
        save(Journal(tmp_path / "absent"), entry())


def test_state_is_what_the_server_sees() -> None:
    written = entry().model_copy(update={"status": CaptureStatus.FAILED, "uploaded_blobs": ["sha256:1"]})

    assert written.state().status is CaptureStatus.FAILED
    assert written.state().uploaded_blobs == ["sha256:1"]
