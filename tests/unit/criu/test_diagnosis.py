"""Logs as CRIU writes them, and the cause and way out that a user reads."""

import pytest

from ksnap.criu.diagnosis import TAIL_LINES, diagnose

END = """(00.020136) Unlock network
(00.020150) Unfreezing tasks into 1
(00.023321) Error (criu/cr-dump.c:2128): Dumping FAILED.
"""


@pytest.mark.parametrize(
    ("line", "cause", "hint"),
    [
        ("inet: Connected TCP socket, consider using --tcp-established option.", "open TCP connection", "tcp-close"),
        ("inet: In-flight connections can be ignored with the --skip-in-flight option.", "handshake", "skip-in-flight"),
        ("Can't dump file 9 of that type [0600] (unknown anon_inode:[io_uring])", "io_uring", "RuntimeDefault"),
        ("send_fds failed (-22)", "io_uring", "RuntimeDefault"),
        ("Can't write img file: No space left on device", "disk is full", "Free space"),
        ("Timeout reached. Try to interrupt: 1", "stopped in time", "try again"),
        ("Can't get rlimit 0: Operation not permitted", "limits", "CAP_SYS_RESOURCE"),
        ("The root process 42 is not a session leader. Consider using --shell-job option", "terminal", "tty: false"),
        ("tty: Found slave peer index 0 without correspond master peer", "terminal", "tty: false"),
        ("unix: External socket is used. Consider using --ext-unix-sk option.", "unix socket", "Close"),
        (
            "Some file locks are hold by dumping tasks! You can try --file-locks to dump them.",
            "file lock",
            "file-locks",
        ),
        ("fsnotify: Can't find suitable path for handle (dev 0x30 ino 0x1): -1", "watches files", "stop watching"),
        ("Can't dump nested pid namespace for 12", "namespaces of its own", "nested"),
        ("One or more namespaces doesn't belong to the target user namespace", "namespaces of its own", "hostUsers"),
        ("couldn't suspend seccomp: Operation not permitted", "seccomp", "CONFIG_CHECKPOINT_RESTORE"),
        ("Task 7 with SysVIPC shmem map @7f00 doesn't live in IPC ns", "System V", "POSIX"),
        ("Failed to create shm set: File exists", "System V", "POSIX"),
        ("Can't create link remap for /tmp/x. Use link-remap option.", "deleted file", "link-remap"),
        ("Can't dump ghost file /tmp/x of 2097152 size, increase limit", "large deleted file", "ghost-limit"),
        ("12 has rseq but kernel lacks get_rseq_conf feature", "does not fit", "newer criu"),
        ("Unseizable non-zombie 12 found, state S, err -1/1", "may not stop", "debuggers"),
        ("PID 12 has uprobes vma. Consider using --allow-uprobes.", "tracing tool", "allow-uprobes"),
        ("Can't dump file 5 of that type [20666] (chr 195:255 /dev/nvidiactl)", "device", "plugin"),
    ],
)
def test_a_logs_error_is_translated(line: str, cause: str, hint: str) -> None:
    log = f"(00.000000) Version: 4.2.1 (gitid 0)\n(00.010000) Error (criu/some.c:123): {line}\n{END}"
    found = diagnose(log, "checkpointing container failed: criu failed: type DUMP errno 0")
    assert cause in found.cause
    assert hint in found.hint
    assert any(line in each for each in found.tail)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ('CRIU binary not found or too old (<31600). Failed to checkpoint container "x"', "missing"),
        ('exec: "criu": executable file not found in $PATH', "missing"),
        ("write /var/lib/containerd/x: no space left on device", "disk is full"),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", "longer than allowed"),
        ("rpc error: code = Unimplemented desc = unknown method CheckpointContainer", "cannot checkpoint"),
        (
            'container "x" is in CONTAINER_EXITED state. only CONTAINER_RUNNING containers can be checkpointed',
            "not run",
        ),
        ('container "webapp" not found in pod', "gone"),
    ],
)
def test_the_runtimes_text_is_translated(error: str, cause: str) -> None:
    assert cause in diagnose("", error).cause


def test_the_first_error_of_a_log_counts() -> None:
    log = (
        "(00.01) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.\n"
        "(00.02) Error (criu/x.c:1): Can't write img file: No space left on device\n"
    )
    assert "TCP" in diagnose(log).cause


def test_the_log_counts_before_the_runtimes_text() -> None:
    log = "(00.01) Error (criu/file-lock.c:1): Some file locks are hold by dumping tasks! You can try --file-locks\n"
    assert "file lock" in diagnose(log, "context deadline exceeded").cause


def test_warnings_are_no_causes() -> None:
    found = diagnose("(00.01) Warn  (criu/sk-inet.c:1): inet: Connected TCP socket seen\n", "criu failed: type DUMP")
    assert found.cause == "criu failed: type DUMP"
    assert not found.recognized


def test_an_unknown_error_is_quoted() -> None:
    found = diagnose(f"(00.01) Error (criu/odd.c:7): odd: Something new\n{END}")
    assert found.cause == "CRIU could not freeze the container: odd: Something new"
    assert found.hint == ""


def test_nothing_known_is_said_so() -> None:
    assert "nothing says why" in diagnose("", " ").cause


def test_the_tail_is_short_and_keeps_earlier_errors() -> None:
    log = "(0) Error (criu/a.c:1): first\n" + "(1) chatter\n" * 500 + "x" * 9000
    found = diagnose(log)
    assert len(found.tail) == TAIL_LINES + 1
    assert found.tail[0].endswith("first")
    assert max(map(len, found.tail)) <= 400
