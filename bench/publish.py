"""Publishing one archive: ksnap's single pass against the tools that people use now, and against a limit.

    python -m bench.publish [--size-mib 1024] [--runs 5] [--memory-mib 4096]

Contenders, each against a fresh docker-registry with TLS and a password, taking turns so that all see the same machine:

- ksnap        the agent's pipeline: checked, hashed, compressed, pushed as index and manifest
- buildah      `checkpointctl build` (1.6.0) and `buildah push`
- crane        `zstd -T0 -3`, then `crane append` of the compressed layer
- limit        a shell pipeline that only moves the bytes: `zstd -T0 -3`, both digests by `openssl dgst -sha256`, one
               upload by curl; no checks, no manifest

Then one archive of --memory-mib goes through ksnap's pipeline in a process of its own, for its peak memory.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.report import Series, Target, series_table, targets_table, write
from dev.cluster.tools import tool
from tests.parties.archives import write_archive
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, start_registry

MIB = 1 << 20
_TOOLS = ("buildah", "curl", "openssl", "zstd", "docker-registry")

_UNITS = {"seconds": "s", "cpu_seconds": "s", "build": "s", "push": "s", "pack": "s", "append": "s", "peak_mib": "MiB"}
# Both digests beside the one upload; the tar is read twice, from the page cache, which is cheaper than a tee of it.
_LIMIT = r"""
set -euo pipefail
auth="$KSNAP_BENCH_AUTH"
curl() { command curl --silent --show-error --fail --cacert "$CA" --config <(printf 'user = "%s"\n' "$auth") "$@"; }
location() { tr -d '\r' < headers | sed -n 's/^[Ll]ocation: //p'; }
curl --request POST --data '' --dump-header headers --output /dev/null "$URL/v2/$REPOSITORY/blobs/uploads/"
openssl dgst -sha256 "$ARCHIVE" > tar.sha256 &
mkfifo packed
openssl dgst -sha256 < packed > zst.sha256 &
hash=$!
zstd -T0 -3 --quiet --stdout "$ARCHIVE" | tee packed | curl --request PATCH --upload-file - --header 'Expect:' \
  --header 'Content-Type: application/octet-stream' --dump-header headers --output /dev/null "$(location)"
wait $hash
digest=$(sed 's/.*= *//' zst.sha256)
curl --request PUT --data '' --output /dev/null "$(location)&digest=sha256:$digest"
wait
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all contenders share."""

    archive: Path
    folder: Path
    crane: Path
    checkpointctl: Path


def ksnap(bench: Bench, registry: RunningRegistry) -> dict[str, float]:
    request = {"archive": str(bench.archive), "registry": _access(registry), "repository": "bench/ksnap"}
    return push_in_process(request)


def push_in_process(request: Mapping[str, object]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.push_once"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def buildah(bench: Bench, registry: RunningRegistry) -> dict[str, float]:
    with _scratch(bench) as folder:
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        trusted = folder / "trusted"
        trusted.mkdir()
        shutil.copy(registry.certificate.ca, trusted / "ca.crt")
        environment = {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "STORAGE_DRIVER": "vfs"}
        image = f"{registry.host}/bench/buildah:bench"
        build = _timed([bench.checkpointctl, "build", bench.archive, image], folder, environment)
        login = _docker_config(folder, registry)
        push = _timed(["buildah", "push", "--cert-dir", trusted, "--authfile", login, image], folder, environment)
        return {"seconds": build + push, "build": build, "push": push}


def crane(bench: Bench, registry: RunningRegistry) -> dict[str, float]:
    with _scratch(bench) as folder:
        login = _docker_config(folder, registry)
        environment = {"DOCKER_CONFIG": str(login.parent), "SSL_CERT_FILE": str(registry.certificate.ca)}
        layer = folder / "layer.tar.zst"
        pack = _timed(["zstd", "-T0", "-3", "--quiet", bench.archive, "-o", layer], folder, {})
        image = f"{registry.host}/bench/crane:bench"
        append = _timed([bench.crane, "append", "--new_layer", layer, "--new_tag", image], folder, environment)
        return {"seconds": pack + append, "pack": pack, "append": append}


def limit(bench: Bench, registry: RunningRegistry) -> dict[str, float]:
    with _scratch(bench) as folder:
        environment = {
            "ARCHIVE": str(bench.archive),
            "CA": str(registry.certificate.ca),
            "URL": registry.url,
            "REPOSITORY": "bench/limit",
            "KSNAP_BENCH_AUTH": f"{USERNAME}:{PASSWORD}",
        }
        return {"seconds": _timed(["bash", "-c", _LIMIT], folder, environment)}


CONTENDERS: dict[str, Callable[[Bench, RunningRegistry], dict[str, float]]] = {
    "ksnap": ksnap,
    "buildah": buildah,
    "crane": crane,
    "limit": limit,
}


def measure(bench: Bench, runs: int) -> dict[str, Series]:
    """All contenders in turn, `runs` times; the parts of one are series of their own."""
    found: dict[str, Series] = {}
    for run in range(1, runs + 1):
        for name, contender in CONTENDERS.items():
            with start_fresh_registry(bench) as registry:
                measured = contender(bench, registry)
            _say(f"run {run} of {runs}: {name} {measured['seconds']:.2f} s")
            for part, value in measured.items():
                label = name if part == "seconds" else f"{name}, {part}"
                unit = _UNITS.get(part)
                if unit is not None:
                    found.setdefault(label, Series(label, unit)).values.append(value)
    return found


def peak_memory(bench: Bench, size: int) -> float:
    """MiB of a process that pushes one archive of `size`, made while it is read, so that no disk is in the way."""
    with start_fresh_registry(bench) as registry:
        request = {"stream_bytes": size, "registry": _access(registry), "repository": "bench/memory"}
        return push_in_process(request)["peak_mib"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Publishing one archive, against other tools")
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--memory-mib", type=int, default=4096, help="archive of the memory measurement; 0 leaves it out"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the archives and registries go (about 6x size)"
    )
    options = parser.parse_args()
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"bench.publish needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="ksnap-bench-", dir=options.folder) as name:
        folder = Path(name)
        bench = Bench(folder / "checkpoint.tar", folder, tool("crane"), tool("checkpointctl"))
        _say(f"writing an archive of {options.size_mib} MiB, half of it incompressible")
        write_archive(bench.archive, options.size_mib * MIB)
        found = measure(bench, options.runs)
        peak = peak_memory(bench, options.memory_mib * MIB) if options.memory_mib else None
    report(found, peak, options)


def report(found: Mapping[str, Series], peak: float | None, options: argparse.Namespace) -> None:
    ours = found["ksnap"]
    targets = [
        Target("checkpointctl + buildah / ksnap", found["buildah"].median / ours.median, 2.5, at_least=True),
        Target("ksnap / crane with its zstd run", ours.median / found["crane"].median, 1.0),
        Target("ksnap / limit pipeline", ours.median / found["limit"].median, 1.2),
    ]
    if peak is not None:
        targets.append(Target(f"peak memory, archive of {options.memory_mib} MiB (MiB)", peak, 150))
    times = [each for each in found.values() if each.unit == "s"]
    path = write(
        "publish",
        series=list(found.values()),
        targets=targets,
        about={"archive_mib": options.size_mib, "runs": options.runs, "load": os.getloadavg()[0]},
    )
    print(series_table(times, reference=ours))
    print()
    print(targets_table(targets))
    _say(f"written to {path}")


def _timed(command: list[str | Path], folder: Path, environment: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with {done.returncode}: {done.stderr[-2000:]}")
    return time.perf_counter() - begun


@contextmanager
def _scratch(bench: Bench) -> Iterator[Path]:
    """A folder of one run; what buildah mounts in it goes with its storage."""
    with tempfile.TemporaryDirectory(dir=bench.folder, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def start_fresh_registry(bench: Bench) -> Iterator[RunningRegistry]:
    """An empty registry: a blob that is there already would not be uploaded again."""
    with _scratch(bench) as folder, start_registry(folder / "registry") as registry:
        yield registry


def _access(registry: RunningRegistry) -> dict[str, object]:
    content: dict[str, object] = json.loads(registry.access.model_dump_json())
    return content


def _docker_config(folder: Path, registry: RunningRegistry) -> Path:
    pair = b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {registry.host: {"auth": pair}}}))
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
