"""Debian file systems, cached: one for nodes, one for images, one with programs to freeze. debootstrap makes them.

Suites move, and a cached file system does not follow: it stays as it was made until this list changes or the cache is
deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dev.cluster.cache import Cache, discard, key_of
from dev.cluster.commands import run_logged, say
from dev.cluster.packages import NEEDED_FOR_FILE_SYSTEMS, ensure
from dev.cluster.settings import IMAGE_SUITE, NODE_SUITE, PROGRAM_SUITE

NODE_PACKAGES = (
    "busybox-static",
    "ca-certificates",
    "checkpointctl",
    "conntrack",
    "containernetworking-plugins",
    "criu",
    "curl",
    "docker-registry",
    "etcd-server",
    "iproute2",
    "iptables",
    "kmod",
    "kubectl",
    "libpython3-stdlib",
    "nftables",
    "procps",
    "python3-minimal",
    "runc",
    "skopeo",
)
"""What a node runs (CRIU, runc, CNI plugins, Python) and what the host borrows (etcd, registry, kubectl)."""

IMAGE_PACKAGES = ("busybox-static", "ca-certificates", "python3", "python3-pip", "python3-venv")
"""Python with pip, from which the agent's image is built and the workloads' small base is cut."""

PROGRAM_PACKAGES = ("nginx", "nodejs", "openjdk-21-jdk-headless", "postgresql-17", "redis-server")
"""Programs of other people, which tests freeze; images are cut out of this root, and of the JDK only what runs."""

DROPPED = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")
"""Never read in a node or a container, and half of the bytes."""


def node_file_system(cache: Cache) -> Path:
    """The read-only root that all nodes share."""
    return _bootstrapped(cache, "node-root", NODE_SUITE, NODE_PACKAGES)


def image_file_system(cache: Cache) -> Path:
    """The root that images are made from."""
    return _bootstrapped(cache, "image-root", IMAGE_SUITE, IMAGE_PACKAGES)


def program_file_system(cache: Cache) -> Path:
    """A root with other people's programs, as files: nothing of theirs was set up, since that would start servers."""

    def make(root: Path) -> None:
        log = cache.log("program-root")
        _bootstrap(root, PROGRAM_SUITE, ["busybox-static"], log)
        say("unpacking other people's programs (once, about 20 s)")
        install = ["apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends", *PROGRAM_PACKAGES]
        for command in (["apt-get", "update", "-q"], install):
            run_logged(["chroot", root, *command], log=log, timeout_s=1200)
        archives = sorted((root / "var/cache/apt/archives").glob("*.deb"))
        for archive in archives:
            run_logged(["dpkg-deb", "--extract", archive, root], log=log, timeout_s=120)
        _drop(root)

    key = key_of(PROGRAM_SUITE, *PROGRAM_PACKAGES, *DROPPED)
    return cache.get("program-root", key, make)


def package_versions(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Versions of installed packages, by the record that dpkg keeps."""
    versions: dict[str, str] = {}
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Package") in names:
            versions[fields["Package"]] = fields["Version"]
    return versions


def _bootstrapped(cache: Cache, what: str, suite: str, packages: Sequence[str]) -> Path:
    def make(root: Path) -> None:
        say(f"bootstrapping Debian {suite} for {what} (once, about 70 s)")
        _bootstrap(root, suite, packages, cache.log(what))

    return cache.get(what, key_of(suite, *packages, *DROPPED), make)


def _bootstrap(root: Path, suite: str, packages: Sequence[str], log: Path) -> None:
    ensure(NEEDED_FOR_FILE_SYSTEMS, log)
    # In namespaces of its own: what debootstrap mounts and starts goes with it, however it ends.
    alone = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    run_logged(
        [*alone, "debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, root],
        log=log,
        timeout_s=2700,
    )
    _drop(root)


def _drop(root: Path) -> None:
    for folder in DROPPED:
        discard(root / folder)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with its links as links."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
