"""Programs built from Go modules: Kubernetes, containerd, and tools for people and tests."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run, run_logged, say
from dev.cluster.errors import ClusterError

RUNTIME_MODULE = Path(__file__).parents[2] / "runtime"
KUBE_MODULE = Path(__file__).parent / "kube"
KUBE_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
"""Names by which the one binary is called; each makes it another component."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """Commands of one module at one version."""

    module: str
    version: str
    commands: tuple[str, ...]
    minutes: int
    tags: str = ""
    ldflags: str = "-s -w"


TOOLS = {
    "helm": GoProgram("helm.sh/helm/v3", "v3.22.0", ("cmd/helm",), minutes=2),
    "crane": GoProgram("github.com/google/go-containerregistry", "v0.22.1", ("cmd/crane",), minutes=1),
    # It brings every cloud's key service along, hence the minutes; only a thorough test asks for it.
    "cosign": GoProgram("github.com/sigstore/cosign/v3", "v3.1.3", ("cmd/cosign",), minutes=6),
    # Simulated nodes and pods in any number, for benchmarks.
    "kwok": GoProgram("sigs.k8s.io/kwok", "v0.7.0", ("cmd/kwok",), minutes=2),
    "checkpointctl": GoProgram("github.com/checkpoint-restore/checkpointctl", "v1.6.0", (".",), minutes=1),
    "metrics-server": GoProgram("sigs.k8s.io/metrics-server", "v0.9.0", ("cmd/metrics-server",), minutes=3),
}


def kubernetes_version() -> str:
    """The version that the Go module asks for, such as `v1.36.3`."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", (KUBE_MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{KUBE_MODULE / 'go.mod'} names no k8s.io/kubernetes")
    return found[1]


def kubernetes(cache: Cache) -> Path:
    """One binary that is every component of Kubernetes."""
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    names = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in names.items())

    def make(binary: Path) -> None:
        say(f"building Kubernetes {version} (once, about 7 min)")
        run_logged(
            ["go", "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", binary, "."],
            log=cache.log("kube"),
            timeout_s=3600,
            cwd=KUBE_MODULE,
        )

    return cache.get("kube", key_of(KUBE_MODULE, flags, go_version()), make)


def containerd(cache: Cache, version: str) -> Path:
    """Folder with containerd, its shim and ctr."""
    program = GoProgram(
        "github.com/containerd/containerd/v2",
        version,
        ("cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"),
        minutes=3,
        tags="no_btrfs no_devmapper no_zfs",
        ldflags=f"-s -w -X github.com/containerd/containerd/v2/version.Version={version}",
    )
    return _built(cache, "containerd", program)


def runtime_wrapper(cache: Cache) -> Path:
    """ksnap-runc, of this tree's `runtime/`."""

    def make(binary: Path) -> None:
        say("building ksnap-runc (seconds)")
        run_logged(
            ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, "."],
            log=cache.log("ksnap-runc"),
            timeout_s=600,
            cwd=RUNTIME_MODULE,
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        )

    return cache.get("ksnap-runc", key_of(RUNTIME_MODULE, go_version()), make)


def tool(cache: Cache, name: str) -> Path:
    """One of the tools, as an executable file."""
    return _built(cache, name, TOOLS[name]) / name


def go_version() -> str:
    """Part of every key: another compiler makes another program."""
    return run(["go", "env", "GOVERSION", "GOARCH", "CGO_ENABLED"]).strip()


def _built(cache: Cache, what: str, program: GoProgram) -> Path:
    def make(folder: Path) -> None:
        say(f"building {what} {program.version} (once, about {program.minutes} min)")
        env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        answer = run(["go", "mod", "download", "-json", f"{program.module}@{program.version}"], timeout_s=600, env=env)
        folder.mkdir()
        run_logged(
            ["go", "build", "-trimpath", "-tags", program.tags, "-ldflags", program.ldflags, "-o", str(folder)]
            + [f"./{command}" for command in program.commands],
            log=cache.log(what),
            timeout_s=1800,
            # In the module's own folder rather than by `go install`, which refuses modules with `replace` or `exclude`.
            cwd=Path(json.loads(answer)["Dir"]),
            env=env,
        )

    return cache.get(what, key_of(repr(program), go_version()), make)
