"""Restored or cold, from the very files that containerd 2.1.9 wrote."""

import json
from pathlib import Path

import pytest

from ksnap.agent.evidence import bare_container_id, container_evidence, parse_runtime_record, parse_status
from ksnap.errors import InvalidInput, NotFound

ID = "78aecfbc49409691a516b2ce782ed71c6c83479c02ac5a065261da0a6147a3da"
RESTORED = (
    '{"Version":"v1","Pid":4364,"CreatedAt":1795343607673673723,"StartedAt":1795343608268963807,"FinishedAt":0,'
    '"ExitCode":0,"Reason":"","Message":"","Resources":{"linux":{"cpu_period":100000,"cpu_shares":2}},"Restore":true}'
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(RESTORED), **fields}).encode()


def test_restored_container_is_told() -> None:
    evidence = parse_status(ID, RESTORED.encode())

    assert evidence.restored
    assert '"Restore": true' in evidence.record


@pytest.mark.parametrize(
    "text",
    [
        changed(Restore=False),
        # Created from a checkpoint image, not started yet.
        changed(StartedAt=0, Pid=0),
        # The restore failed.
        changed(StartedAt=0, Pid=0, FinishedAt=1795343608268963807, ExitCode=128, Reason="StartError"),
        b"",
        b"{",
        b"[]",
        b'{"Version": "v9"}',
    ],
)
def test_anything_else_is_no_restore(text: bytes) -> None:
    assert not parse_status(ID, text).restored


def test_restored_container_that_ended_later_was_still_restored() -> None:
    assert parse_status(ID, changed(FinishedAt=1795343708268963807, ExitCode=1, Reason="Error")).restored


def test_record_is_read_from_the_containers_folder(tmp_path: Path) -> None:
    (tmp_path / ID).mkdir()
    (tmp_path / ID / "status").write_text(RESTORED)

    assert container_evidence(tmp_path, f"containerd://{ID}", runtime_records_dir=tmp_path / "none").restored


def test_unknown_container_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        container_evidence(tmp_path, ID, runtime_records_dir=tmp_path / "none")


def test_a_runtime_without_records_proves_nothing(tmp_path: Path) -> None:
    """CRI-O: the folder is not mounted. No error, or a restored pod would be taken away for lack of a proof."""
    evidence = container_evidence(tmp_path / "absent", f"cri-o://{ID}", runtime_records_dir=tmp_path)

    assert (evidence.container_id, evidence.restored) == (ID, False)
    assert "keeps no record" in evidence.record


@pytest.mark.parametrize("text", ["", "..", "../../etc", ID[:-1], ID + "a", ID.upper(), f"containerd://../{ID}", "a/b"])
def test_what_is_no_container_id_never_becomes_a_path(text: str) -> None:
    with pytest.raises(InvalidInput):
        bare_container_id(text)


RECORD = {
    "version": 1,
    "container_id": ID,
    "namespace": "shop",
    "pod": "web-1",
    "pod_uid": "u",
    "container": "app",
    "image": f"registry:5000/shop/web@sha256:{'1' * 64}",
    "restored": True,
    "reason": "",
    "message": "",
    "pid": 4364,
    "at": "2026-11-24T10:00:00.123Z",
    "prepare_ms": 5,
    "apply_ms": 12,
    "criu_ms": 300,
    "total_ms": 340,
}
STARTED_AS_USUAL = changed(Restore=False)


class TestRuntimeEngine:
    def folders(self, tmp_path: Path, record: bytes | None) -> tuple[Path, Path]:
        containers, records = tmp_path / "containers", tmp_path / "records"
        (containers / ID).mkdir(parents=True)
        (containers / ID / "status").write_bytes(STARTED_AS_USUAL)
        records.mkdir()
        if record is not None:
            (records / f"{ID}.json").write_bytes(record)
        return containers, records

    def test_its_record_counts_whatever_containerd_believes(self, tmp_path: Path) -> None:
        containers, records = self.folders(tmp_path, json.dumps(RECORD).encode())
        evidence = container_evidence(containers, f"containerd://{ID}", runtime_records_dir=records)
        assert evidence.restored
        assert str(records / f"{ID}.json") in evidence.record
        assert '"criu_ms": 300' in evidence.record

    def test_cold_start_says_why(self, tmp_path: Path) -> None:
        record = {**RECORD, "restored": False, "reason": "CpuMismatch"}
        containers, records = self.folders(tmp_path, json.dumps(record).encode())
        evidence = container_evidence(containers, ID, runtime_records_dir=records)
        assert not evidence.restored
        assert "CpuMismatch" in evidence.record

    def test_without_a_record_containerds_counts(self, tmp_path: Path) -> None:
        containers, records = self.folders(tmp_path, None)
        assert "containerd's" in container_evidence(containers, ID, runtime_records_dir=records).record
        (containers / ID / "status").write_text(RESTORED)
        assert container_evidence(containers, ID, runtime_records_dir=records).restored

    def test_link_in_the_records_place_is_no_record(self, tmp_path: Path) -> None:
        containers, records = self.folders(tmp_path, None)
        (tmp_path / "forged").write_text(json.dumps(RECORD))
        (records / f"{ID}.json").symlink_to(tmp_path / "forged")
        evidence = container_evidence(containers, ID, runtime_records_dir=records)
        assert not evidence.restored
        assert "cannot be read" in evidence.record

    @pytest.mark.parametrize(
        "record",
        [
            {**RECORD, "version": 2},
            {**RECORD, "container_id": "0" * 64},
            {**RECORD, "restored": "true"},
            {**RECORD, "restored": 1},
            {},
            [],
        ],
    )
    def test_anything_else_is_no_restore(self, record: object) -> None:
        assert not parse_runtime_record(ID, json.dumps(record).encode(), where=Path("/x")).restored

    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 60_000])
    def test_garbage_is_no_restore(self, text: bytes) -> None:
        assert not parse_runtime_record(ID, text, where=Path("/x")).restored
