"""Images of other people's programs, which tests freeze and restore: a JVM, Node.js, nginx, redis, PostgreSQL, and a
static program of our own.

They take a minute and a gigabyte of cache, so `up` makes none of them: a test asks for one by name. Each is cut out of
one Debian root by what its binaries load, and starts as in `workloads/programs/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import debian, images, oci
from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run, say
from dev.cluster.info import ClusterInfo
from dev.cluster.push import Registry

JDK = "usr/lib/jvm"
JVM_MODULES = "java.base,jdk.httpserver"
POSTGRES = Path("usr/lib/postgresql/17")
POSTGRES_USER = 999
NODE_LIBRARY = Path("usr/share/nodejs")
NODE_MODULES = ("acorn", "acorn-walk", "cjs-module-lexer", "minimatch", "undici")
"""Parts of Node.js' own library that Debian keeps beside the program."""
ACCOUNTS = {"www-data": 33, "postgres": POSTGRES_USER}
FORMAT = "1"
"""Raise it when the code below writes other bytes for the same inputs."""

IN_ROOT = """
set -eu
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/mnt"
root=$1
shift 2
exec chroot "$root" "$@"
"""
"""The JDK finds itself by /proc. Its output goes to /mnt; the root is a shared one and stays as it is."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an image holds, and how it starts. `cut` copies out of a root into a layer."""

    sources: tuple[str, ...]
    cut: Callable[[Path, Path], None]
    settings: Mapping[str, object]
    env: tuple[str, ...] = (images.PATH,)


def ensure(cluster: ClusterInfo, cache: Cache, name: str) -> str:
    """Return an image's full reference, making and pushing first what is missing."""
    image = build(cache, name)
    return Registry(cluster.registries["open"].host, cluster.ca_file).push(name, oci.tag_of(image), image)


def build(cache: Cache, name: str) -> oci.Image:
    """An image, by its name in `PROGRAMS`."""
    program = PROGRAMS[name]
    root = debian.program_file_system(cache)
    sources = [images.PROGRAMS / source for source in program.sources]

    def make(folder: Path) -> None:
        say(f"packing the image {name} (once, seconds)")
        layer = folder / "root"
        layer.mkdir(parents=True)
        images.furnish(root, layer)
        for account, number in ACCOUNTS.items():
            _append(layer / "etc/passwd", f"{account}:x:{number}:{number}:{account}:/tmp:/bin/sh\n")
            _append(layer / "etc/group", f"{account}:x:{number}:\n")
        app = layer / "app"
        app.mkdir()
        for source in sources:
            shutil.copy2(source, app)
        program.cut(root, layer)
        oci.build(folder, [oci.layer_tar(layer)], {"Env": list(program.env), **program.settings})
        shutil.rmtree(layer)

    start = repr((program.env, program.settings))
    return oci.read(cache.get(f"image-{name}", key_of(FORMAT, start, root.name, *sources), make))


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _jvm(root: Path, layer: Path) -> None:
    """A JVM with the modules that the program needs, as jlink makes them, and the program compiled."""
    (jdk,) = (root / JDK).glob("java-21-openjdk-*")
    inside = f"/{jdk.relative_to(root)}/bin"
    _in_root(root, layer / "app", f"{inside}/javac", "-d", "/mnt", "/mnt/Server.java")
    linked = ["--add-modules", JVM_MODULES, "--strip-java-debug-attributes", "--no-header-files", "--no-man-pages"]
    _in_root(root, layer / "app", f"{inside}/jlink", *linked, "--output", "/mnt/jvm")
    # Its other libraries load no more than these two; the JDK's own ones jlink has put beside the program.
    loading = [(jdk / each).relative_to(root) for each in ("bin/java", "lib/server/libjvm.so")]
    images.copy_programs(root, layer, [], loading)
    shutil.rmtree(layer / JDK, ignore_errors=True)


def _node(root: Path, layer: Path) -> None:
    images.copy_programs(root, layer, [Path("usr/bin/node")])
    for module in NODE_MODULES:
        shutil.copytree(root / NODE_LIBRARY / module, layer / NODE_LIBRARY / module, symlinks=True)


def _nginx(root: Path, layer: Path) -> None:
    images.copy_programs(root, layer, [Path("usr/sbin/nginx")])
    (layer / "run").mkdir()
    (layer / "var/log/nginx").mkdir(parents=True)


def _redis(root: Path, layer: Path) -> None:
    images.copy_programs(root, layer, [Path("usr/bin/redis-server"), Path("usr/bin/redis-cli")])


def _postgres(root: Path, layer: Path) -> None:
    programs = [POSTGRES / "bin" / name for name in ("initdb", "pg_isready", "postgres", "psql")]
    # Its compiler of queries is a fifth of a gigabyte, and optional.
    unused = shutil.ignore_patterns("bitcode", "llvmjit*", "pgxs", "man")
    for folder in (POSTGRES / "lib", Path("usr/share/postgresql/17")):
        shutil.copytree(root / folder, layer / folder, symlinks=True, ignore=unused)
    libraries = [path.relative_to(layer) for path in (layer / POSTGRES / "lib").glob("*.so")]
    images.copy_programs(root, layer, programs, libraries)
    for own in ("var/lib/postgresql", "var/run/postgresql"):
        (layer / own).mkdir(parents=True)
        os.chown(layer / own, POSTGRES_USER, POSTGRES_USER)


def _holder(root: Path, layer: Path) -> None:
    """Nothing out of the root: the program is static."""
    del root
    source = layer / "app/holder.c"
    run(["gcc", "-Wall", "-Wextra", "-static", "-Os", "-s", "-o", layer / "app/holder", source], timeout_s=60)


def _in_root(root: Path, mounted: Path, *argv: str) -> None:
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    run([*alone, "sh", "-c", IN_ROOT, "sh", root, mounted, *argv], timeout_s=300)


PROGRAMS = {
    "jvm": Program(("Server.java",), _jvm, {"Entrypoint": ["/app/jvm/bin/java", "-cp", "/app", "Server"]}),
    "node": Program(("server.js",), _node, {"Entrypoint": ["/usr/bin/node", "/app/server.js"]}),
    "nginx": Program(("nginx.sh", "nginx.conf"), _nginx, {"Entrypoint": ["/bin/sh", "/app/nginx.sh"]}),
    "redis": Program((), _redis, {"Entrypoint": ["/usr/bin/redis-server", "--save", "", "--protected-mode", "no"]}),
    "postgres": Program(
        ("postgres.sh",),
        _postgres,
        {"Entrypoint": ["/bin/sh", "/app/postgres.sh"], "User": f"{POSTGRES_USER}:{POSTGRES_USER}"},
        (f"PATH=/{POSTGRES}/bin:/usr/bin:/bin", "PGDATA=/var/lib/postgresql/data", "PGUSER=postgres", "LC_ALL=C"),
    ),
    "holder": Program(("holder.c",), _holder, {"Entrypoint": ["/app/holder"]}),
}
