"""Runs inside a node of the development cluster, by the node's own Python: nothing but the standard library here.

    python3 -c "$(cat bench/in_node.py)" start RUNS           runc and ksnap-runc, create + start, in turn
    python3 -c "$(cat bench/in_node.py)" freeze FOLDER MIB    a container of so much memory into FOLDER/images
    python3 -c "$(cat bench/in_node.py)" restore FOLDER IMAGE CHECKPOINT RUNS    `runc restore` and ksnap-runc, in turn

JSON on stdout: seconds by contender. The containers are plain bundles below the node's own root file system.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

RUNC, WRAPPER = "runc", "/opt/ksnap/bin/ksnap-runc"
FOLDER = Path("/run/ksnap-bench")
# As bench/warm.py permits it.
CONTAINER, POD, NAMESPACE = "webapp", "warm", "bench-warm"
FILL_S = 300.0
PROGRAM = """
import os, sys, time
held = [os.urandom(1 << 20) for _ in range(int(sys.argv[1]))]
time.sleep(1e6)
"""


def main(words: list[str]) -> None:
    match words:
        case ["start", runs]:
            found = starts(int(runs))
        case ["freeze", folder, mib]:
            found = freeze(Path(folder), int(mib))
        case ["restore", folder, image, checkpoint, runs]:
            found = restores(Path(folder), image, checkpoint, int(runs))
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(found))


def starts(runs: int) -> dict[str, list[float]]:
    """An ordinary container of each; the first of either is not counted."""
    found: dict[str, list[float]] = {RUNC: [], "ksnap-runc": []}
    bundle = made(FOLDER, ["/bin/sleep", "1000000"])
    try:
        for run in range(runs + 1):
            for name, program in ((RUNC, RUNC), ("ksnap-runc", WRAPPER)):
                fresh(bundle)
                seconds = timed(*create(program, bundle, f"bench-{run}"))
                delete(bundle, f"bench-{run}")
                if run:
                    found[name].append(seconds)
    finally:
        unmade(bundle)
    return found


def freeze(bundle: Path, mib: int) -> dict[str, list[float]]:
    """CRIU's images, and beside them the configuration of which the archive is made."""
    made(bundle, ["/usr/bin/python3", "-c", PROGRAM, str(mib)])
    fresh(bundle)
    timed(*create(WRAPPER, bundle, "bench-frozen"))
    pid = (bundle / "pid").read_text()
    until = time.monotonic() + FILL_S
    while resident_mib(pid) < mib:
        if time.monotonic() > until:
            raise SystemExit("the process has not filled its memory")
        time.sleep(0.1)
    images = [f"--image-path={bundle}/images", f"--work-path={bundle}/work"]
    seconds = timed([*runc(RUNC, bundle), "checkpoint", *images, "bench-frozen"])
    delete(bundle, "bench-frozen")
    return {"freeze": [seconds]}


def restores(bundle: Path, image: str, checkpoint: str, runs: int) -> dict[str, list[float]]:
    """The same images, from the agent's cache; the first of either is not counted."""
    found: dict[str, list[float]] = {"runc restore": [], "ksnap-runc": []}
    annotations = {f"restore.ksnap.dev/{CONTAINER}": image}
    for run in range(runs + 1):
        name = f"bench-bare-{run}"
        fresh(bundle)
        options = [f"--bundle={bundle}", f"--image-path={checkpoint}", f"--work-path={bundle}/work"]
        options += ["--manage-cgroups-mode=soft", "--file-locks", f"--pid-file={bundle}/pid"]
        bare = timed([*runc(RUNC, bundle), "restore", "--detach", *options, name])
        check(bundle, name)
        delete(bundle, name)
        name = f"bench-ours-{run}"
        fresh(bundle, annotations)
        ours = timed(*create(WRAPPER, bundle, name))
        check(bundle, name)
        record = json.loads(Path(f"/run/ksnap/runtime/{name}.json").read_text())
        if not record["restored"]:
            raise SystemExit(f"not restored: {record['reason']}: {record['message']}")
        # By the wrapper, which takes its record along.
        delete(bundle, name, WRAPPER)
        if run:
            found["runc restore"].append(bare)
            found["ksnap-runc"].append(ours)
    return found


def made(bundle: Path, args: list[str]) -> Path:
    """A bundle whose root is the node's, read-only."""
    for name in ("rootfs", "images", "work", "state"):
        (bundle / name).mkdir(parents=True)
    run(["mount", "--bind", "/", str(bundle / "rootfs")])
    namespaces = [{"type": each} for each in ("pid", "mount", "ipc", "uts", "network")]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
    ]
    config = {
        "ociVersion": "1.0.2",
        # What containerd says of a pod's container: ksnap-runc looks at these alone.
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": CONTAINER,
            "io.kubernetes.cri.sandbox-name": POD,
            "io.kubernetes.cri.sandbox-namespace": NAMESPACE,
        },
        "process": {"args": args, "cwd": "/", "noNewPrivileges": True, "env": ["PATH=/usr/bin:/bin"]},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": mounts,
        "linux": {"namespaces": namespaces},
    }
    (bundle / "spec.json").write_text(json.dumps(config))
    return bundle


def unmade(bundle: Path) -> None:
    run(["umount", str(bundle / "rootfs")])
    shutil.rmtree(bundle)


def fresh(bundle: Path, annotations: dict[str, str] | None = None) -> None:
    """The configuration as an engine writes it for a new container: the wrapper changes it."""
    config = json.loads((bundle / "spec.json").read_text())
    config["annotations"] |= annotations or {}
    (bundle / "config.json").write_text(json.dumps(config))


def runc(program: str, bundle: Path) -> list[str]:
    return [program, f"--root={bundle}/state", f"--log={bundle}/runc.log", "--log-format=json"]


def create(program: str, bundle: Path, name: str) -> tuple[list[str], list[str]]:
    """What containerd's shim calls for a container's start."""
    words = runc(program, bundle)
    return [*words, "create", f"--bundle={bundle}", f"--pid-file={bundle}/pid", name], [*words, "start", name]


def delete(bundle: Path, name: str, program: str = RUNC) -> None:
    run([*runc(program, bundle), "delete", "--force", name])
    (bundle / "pid").unlink(missing_ok=True)


def check(bundle: Path, name: str) -> None:
    state = json.loads(subprocess.run([*runc(RUNC, bundle), "state", name], capture_output=True, check=True).stdout)
    if state["status"] != "running":
        raise SystemExit(f"{name} is {state['status']}")


def timed(*commands: list[str]) -> float:
    begun = time.perf_counter()
    for each in commands:
        run(each)
    return time.perf_counter() - begun


def run(command: list[str]) -> None:
    """A detached container keeps its caller's output: nothing. runc's words are in its log."""
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False)
    if done.returncode:
        log = next((Path(each[6:]) for each in command if each.startswith("--log=")), None)
        said = log.read_text()[-2000:] if log and log.exists() else ""
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}: {said}")


def resident_mib(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1:])
