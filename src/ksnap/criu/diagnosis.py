"""Why a dump failed, and the way out, from CRIU's log and the runtime's error text.

The rules quote CRIU's own messages (criu 3.17 to 4.2: sk-inet.c, sk-unix.c, files.c, files-ext.c, file-lock.c,
fsnotify.c, tty.c, mount.c, namespaces.c, seize.c), go-criu's, runc's, containerd's and the kubelet's. They are tried in
the order of their lines: the first error that a log holds is mostly the cause, the later ones its consequences.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

TAIL_LINES = 12
_MAX_LINE = 400
_ERROR_LINE = re.compile(r"\bError \(")
# Said by every dump where the node lacks CAP_SYS_RESOURCE (containers as nodes, user namespaces), also by good ones.
_HARMLESS = re.compile(r"rlimit: Can't setup RLIMIT_\w+ for self")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A failed dump, explained. The tail holds paths and numbers of the container, and no memory of it."""

    cause: str
    hint: str
    tail: tuple[str, ...]

    @property
    def recognized(self) -> bool:
        return bool(self.hint)


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    cause: str
    hint: str


def _rule(pattern: str, cause: str, hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), cause, hint)


_TCP_CLOSE = (
    "Let the agent set CRIU's option tcp-close for this node (the chart's criu.tcpClose): the running container keeps "
    "the connection, the restored one starts with it closed"
)

_RULES = (
    _rule(
        r"Connected TCP socket|tcp: Failed to (lock TCP connection|dump socket)",
        "The container has an open TCP connection",
        _TCP_CLOSE,
    ),
    _rule(
        r"In-flight connections?\b",
        "A TCP connection was in its handshake at that moment (often a probe)",
        "Try again, or let the agent set CRIU's option skip-in-flight for this node (the chart's criu.skipInFlight)",
    ),
    _rule(
        r"TCP_REPAIR can't be enabled for half-closed sockets",
        "The container has a half-closed TCP connection, which this kernel cannot freeze",
        "Wait until the connection has ended, or use a newer kernel",
    ),
    _rule(
        # Linux lets nobody pass an io_uring on (EINVAL), and CRIU fetches each descriptor that way.
        r"anon_inode:\[io_uring\]|io_uring|send_fds failed \(-22\)",
        "The container uses io_uring, which CRIU cannot freeze",
        "Set the pod's seccompProfile to RuntimeDefault, which makes programs fall back to other calls, "
        "or switch io_uring off in the application",
    ),
    _rule(
        r"anon_inode:\[(perf_event|bpf|userfaultfd|kvm|fanotify|landlock)",
        "The container holds a kernel object that CRIU cannot freeze",
        "See the log's lines for which one; close it before the checkpoint",
    ),
    _rule(
        r"""exec: "criu"|criu["']?: (executable file )?not found|CRIU binary not found|failed to find criu""",
        "CRIU is missing on the node, or too old",
        "Install criu 3.17 or later on the node, in the PATH of the container runtime",
    ),
    _rule(
        r"No space left on device|ENOSPC|disk quota exceeded|not enough space",
        "The node's disk is full",
        "Free space on the node: a checkpoint through the kubelet needs about four times the container's memory "
        "under the runtime's and the kubelet's folders",
    ),
    _rule(
        r"Timeout reached\. Try to interrupt|Unable to freeze cgroup",
        "The container's processes could not be stopped in time",
        "A process waits in the kernel (a hung network file system, a busy device); try again when it is gone",
    ),
    _rule(
        r"context deadline exceeded|DeadlineExceeded|operation timed out|Client\.Timeout|request timed out",
        "The checkpoint took longer than allowed",
        "Raise the time-out of the checkpoint; a container with 1 GiB of memory takes about 11 s",
    ),
    _rule(
        r"Can't get rlimit|CAP_SYS_RESOURCE",
        "CRIU may not read the limits of the container's processes: the node lacks CAP_SYS_RESOURCE",
        "Run the container runtime with CAP_SYS_RESOURCE (ordinary nodes have it), or run the container as root",
    ),
    _rule(
        r"not a session leader.*shell-job|tty: Found (slave peer|dangling tty|sid \d+)|shell-job",
        "The container is attached to a terminal outside of it",
        "Set tty: false for the container, or detach from it before the checkpoint",
    ),
    _rule(
        r"ext(ernal)?[ _-]unix|External socket is used|half of stream unix connection|unix: .*(external|peer)",
        "The container is connected to a unix socket outside of it",
        "Close the connection before the checkpoint (a mounted socket of a runtime, of a database, of a log daemon)",
    ),
    _rule(
        r"file locks are hold by dumping tasks|--file-locks",
        "A process of the container holds a file lock",
        "Set CRIU's option file-locks in /etc/criu/runc.conf on the node, or release the lock before the checkpoint",
    ),
    _rule(
        r"fsnotify:|inotify",
        "A process of the container watches files whose path CRIU cannot find again",
        "Watch files of the container's own file system or a mounted volume, or stop watching before the checkpoint",
    ),
    _rule(
        r"Can't dump nested|Nested mount namespaces|doesn't belong to the target user namespace|nested (pid|user) ",
        "The container made namespaces of its own (a nested container, a sandboxing browser, user namespaces)",
        "Checkpoint the container without nested namespaces; pods with hostUsers: false cannot be frozen yet",
    ),
    _rule(
        r"suspend seccomp|SUSPEND_SECCOMP|Dumping seccomp filters not supported",
        "The kernel or the node's privileges do not allow to freeze a seccomp filter",
        "Use a kernel with CONFIG_CHECKPOINT_RESTORE, and run the container runtime with all capabilities",
    ),
    _rule(
        r"SysVIPC shmem|Sysv shmem|shm set|doesn't live in IPC ns",
        "The container uses System V shared memory that does not belong to it alone",
        "Use POSIX shared memory (for PostgreSQL: shared_memory_type = mmap), or give the pod its own IPC namespace",
    ),
    _rule(
        r"link remap|link-remap",
        "A process of the container has a deleted file open that has other names",
        "Set CRIU's option link-remap in /etc/criu/runc.conf on the node, or close the file before the checkpoint",
    ),
    _rule(
        r"Can't dump ghost file",
        "A process of the container has a large deleted file open",
        "Set CRIU's option ghost-limit in /etc/criu/runc.conf on the node higher than that file's size",
    ),
    _rule(
        r"unreachable sharing|autodetected external mount|proper root mount|is a fuse mount|mnt: (FS mnt|Can't|Unable)",
        "A mount of the container cannot be frozen",
        "Use volumes without mountPropagation and without FUSE for containers that are checkpointed",
    ),
    _rule(
        r"has rseq but kernel lacks|vDSO area|rt vDSO|Unsupported vdso|kerndat_\w+ failed|xfeatures has unsupported",
        "This CRIU does not fit the node's kernel or processor",
        "Install a newer criu on the node (4.2 or later for Linux 6.18)",
    ),
    _rule(
        r"ptrace|Unseizable|SEIZE \d+|Operation not permitted",
        "CRIU may not stop a process of the container",
        "Detach debuggers from it; check that the node's container runtime runs as root with all capabilities",
    ),
    _rule(
        r"Zombie thread|Zombies? with|zombie process",
        "The container has dead processes that nobody waits for",
        "Use an init as the container's first process (shareProcessNamespace, or tini), or wait and try again",
    ),
    _rule(
        r"uprobes vma",
        "A tracing tool has probes in the container's processes",
        "Stop the tracing tool (eBPF profilers use such probes), or set CRIU's option allow-uprobes",
    ),
    _rule(
        r"Can't dump file \d+ of that type|Unsupported (mapping|proto|socket)|/dev/(nvidia|dri|kfd|fuse)",
        "The container has a device, socket or mapping open that CRIU cannot freeze",
        "See the log's lines for which one; close it before the checkpoint, or use CRIU's plugin for that device",
    ),
    _rule(
        r"unknown method|Unimplemented|not implemented|method not found|checkpoint.*(disabled|not enabled)",
        "The node's container runtime or kubelet cannot checkpoint",
        "Use containerd 2.0 or later (or CRI-O with enable_criu_support) and the kubelet's feature ContainerCheckpoint",
    ),
    _rule(
        r"only \S+ containers can be checkpointed|is in (CONTAINER_)?(EXITED|CREATED|UNKNOWN) state|is not running",
        "The container does not run",
        "Wait until it runs, then try again",
    ),
    _rule(
        r"container .* not found|NotFound.*container|no such container|pod .* not found",
        "The container is gone from the node",
        "Look the pod up again: it was restarted or moved meanwhile",
    ),
)  # fmt: skip


def diagnose(log: str, error: str = "") -> Diagnosis:
    """The cause of a failed dump. `log` is (the end of) CRIU's dump.log, `error` what kubelet or runtime answered."""
    lines = [line.rstrip()[:_MAX_LINE] for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR_LINE.search(line) and not _HARMLESS.search(line)]
    tail = tuple(_tail(lines, errors))
    # The runtime's text quotes CRIU's version, paths and the like, so it is asked last.
    for text in (*errors, error):
        for rule in _RULES:
            if rule.pattern.search(text):
                return Diagnosis(rule.cause, rule.hint, tail)
    return Diagnosis(_plain(errors, error), "", tail)


def _tail(lines: list[str], errors: list[str]) -> Iterable[str]:
    """The last lines; of a verbose log its errors, which may stand further up."""
    recent = lines[-TAIL_LINES:]
    earlier = [line for line in errors if line not in recent]
    return earlier[-TAIL_LINES:] + recent


def _plain(errors: list[str], error: str) -> str:
    """What to say where no rule fits: CRIU's first error, else the runtime's text."""
    if errors:
        return "CRIU could not freeze the container: " + _ERROR_LINE.split(errors[0], maxsplit=1)[1].partition("): ")[2]
    return error.strip()[:_MAX_LINE] or "The container could not be frozen, and nothing says why"
