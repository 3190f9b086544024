"""Pulling one image into a node's cache: the agent's single pass against a limit.

    python -m bench.pull [--size-mib 1024] [--runs 5]

The limit moves the same bytes and checks none of them: curl of the layer over the same TLS, `zstd -d`, and dd, which
writes them to the same disk and waits for it, as the agent does. Both read from one docker-registry, taking turns.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import Series, Target, series_table, targets_table, write
from tests.parties.archives import write_archive
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, start_registry

MIB = 1 << 20
BOUND = 1.3
REPOSITORY = "bench/pull"
_TOOLS = ("curl", "zstd", "dd", "docker-registry")
_LIMIT = r"""
set -euo pipefail
curl --silent --show-error --fail --cacert "$CA" --config <(printf 'user = "%s"\n' "$KSNAP_BENCH_AUTH") "$BLOB" |
  zstd --decompress --quiet --stdout | dd of="$TO" bs=1M iflag=fullblock conv=fsync status=none
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """One image in one registry, and where it is unpacked."""

    registry: RunningRegistry
    image: str
    layer: str
    folder: Path

    def ksnap(self) -> float:
        """A process of its own, whose start is not counted: the agent runs already."""
        state_dir = self.folder / "state"
        state_dir.mkdir()
        request = {"image": self.image, "registry": _access(self.registry), "state_dir": str(state_dir)}
        seconds: float = _in_process("bench.pull_once", request)["seconds"]
        shutil.rmtree(state_dir)
        return seconds

    def limit(self) -> float:
        to = self.folder / "archive.tar"
        environment = {
            "CA": str(self.registry.certificate.ca),
            "KSNAP_BENCH_AUTH": f"{USERNAME}:{PASSWORD}",
            "BLOB": f"{self.registry.url}/v2/{REPOSITORY}/blobs/{self.layer}",
            "TO": str(to),
        }
        begun = time.perf_counter()
        subprocess.run(["bash", "-c", _LIMIT], env={**os.environ, **environment}, check=True)
        seconds = time.perf_counter() - begun
        to.unlink()
        return seconds


def measure(size_mib: int, runs: int, folder: Path) -> tuple[Series, Series]:
    """Both in turn, on an image half of which does not compress."""
    archive = folder / "checkpoint.tar"
    _say(f"writing an archive of {size_mib} MiB, half of it incompressible")
    write_archive(archive, size_mib * MIB)
    ours, limit = Series("ksnap", "s"), Series("limit", "s")
    with start_registry(folder / "registry") as registry:
        request = {"archive": str(archive), "registry": _access(registry), "repository": REPOSITORY}
        pushed = _in_process("bench.push_once", request)
        archive.unlink()
        image = f"{registry.host}/{REPOSITORY}@{pushed['digest']}"
        bench = Bench(registry, image, pushed["compressed_digest"], folder)
        for run in range(1, runs + 1):
            ours.values.append(bench.ksnap())
            limit.values.append(bench.limit())
            _say(f"run {run} of {runs}: ksnap {ours.values[-1]:.2f} s, limit {limit.values[-1]:.2f} s")
    return ours, limit


def main() -> None:
    parser = argparse.ArgumentParser(description="Pulling one image into a node's cache, against a limit")
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where registry and cache lie (about 4x size)")
    options = parser.parse_args()
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"bench.pull needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="ksnap-bench-", dir=options.folder) as name:
        ours, limit = measure(options.size_mib, options.runs, Path(name))
    ratio = ours.median / limit.median
    targets = [Target(f"image of {options.size_mib} MiB into the cache / limit", ratio, BOUND)]
    about = {"archive_mib": options.size_mib, "runs": options.runs, "load": os.getloadavg()[0]}
    path = write("pull", series=[ours, limit], targets=targets, about=about)
    print(f"\n{series_table([ours, limit], reference=limit)}\n\n{targets_table(targets)}")
    _say(f"written to {path}")


def _in_process(module: str, request: Mapping[str, object]) -> dict[str, Any]:
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _access(registry: RunningRegistry) -> dict[str, object]:
    content: dict[str, object] = json.loads(registry.access.model_dump_json())
    return content


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
