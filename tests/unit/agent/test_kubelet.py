"""What the kubelet refuses becomes an error that says what to do."""

import pytest

from ksnap.agent.dump import is_passing
from ksnap.agent.dump_log import explained
from ksnap.agent.kubelet import KubeletAnswer, KubeletInTheWay, explain_refusal
from ksnap.criu.diagnosis import diagnose
from ksnap.errors import CheckpointFailed, InsufficientStorage, KsnapError, NotFound
from ksnap.node.protocol import FreezeObstacle

DUMP_FAILED = (
    'checkpointing of shop/web/app failed (rpc error: code = Unknown desc = checkpointing container "aa" failed: '
    "runc did not terminate successfully: exit status 1: criu failed: type DUMP errno 0 path= /run/x/criu-dump.log)"
)


@pytest.mark.parametrize(
    ("status", "text", "kind", "hint"),
    [
        (401, "Unauthorized", KubeletInTheWay, "nodes/checkpoint"),
        (403, "Forbidden (user=system:serviceaccount:x:y, verb=create)", KubeletInTheWay, "nodes/checkpoint"),
        (404, "pod does not exist", NotFound, ""),
        (404, "container app does not exist", NotFound, ""),
        (404, "404 page not found", KubeletInTheWay, "ContainerCheckpoint"),
        (500, DUMP_FAILED, CheckpointFailed, ""),
    ],
)
def test_refusal_says_what_to_do(status: int, text: str, kind: type[KsnapError], hint: str) -> None:
    error = explain_refusal(KubeletAnswer(status, text))

    assert type(error) is kind
    assert hint in error.hint


@pytest.mark.parametrize(
    ("status", "text", "obstacle"),
    [
        (401, "Unauthorized", FreezeObstacle.REFUSED),
        (403, "Forbidden", FreezeObstacle.REFUSED),
        (404, "404 page not found", FreezeObstacle.NOT_OFFERED),
    ],
)
def test_what_the_kubelet_has_against_it_has_a_word_for_the_report(
    status: int, text: str, obstacle: FreezeObstacle
) -> None:
    error = explain_refusal(KubeletAnswer(status, text))

    assert isinstance(error, KubeletInTheWay)
    assert error.obstacle is obstacle


OPEN_TCP = """
(00.081803) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.
(00.158292) Error (criu/cr-dump.c:1975): Dumping FAILED.
"""


def test_failed_dump_is_explained_by_crius_own_log() -> None:
    error = explained(diagnose(OPEN_TCP, DUMP_FAILED), CheckpointFailed("failed", details=DUMP_FAILED))

    assert type(error) is CheckpointFailed
    assert "TCP connection" in error.message
    assert "tcp-close" in error.hint
    assert "Dumping FAILED" in error.details


@pytest.mark.parametrize(
    ("answer", "kind", "hint"),
    [
        ("write /var/lib/x: no space left on device", InsufficientStorage, "Free space"),
        ("rpc error: code = Unimplemented desc = unknown method CheckpointContainer", CheckpointFailed, "containerd"),
        ("CRIU binary not found or too old (<31600)", CheckpointFailed, "Install criu"),
    ],
)
def test_failure_without_a_log_is_explained_by_the_runtimes_words(
    answer: str, kind: type[KsnapError], hint: str
) -> None:
    error = explained(diagnose("", answer), CheckpointFailed("failed", details=answer))

    assert type(error) is kind
    assert hint in error.hint


def test_connection_may_be_over_in_a_moment_and_io_uring_not() -> None:
    assert is_passing(CheckpointFailed("x", details=OPEN_TCP))
    assert not is_passing(CheckpointFailed("x", details="Error (criu/files.c): anon_inode:[io_uring]"))


def test_full_disk_in_crius_log_is_told_as_such() -> None:
    log = "(00.1) Error (criu/image.c:1): Can't write: No space left on device\n"

    assert isinstance(explained(diagnose(log), CheckpointFailed("x")), InsufficientStorage)
