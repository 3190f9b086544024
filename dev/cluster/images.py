"""The images that every cluster has: pause, the workloads, and Debian's Python as a base for others.

Built from Debian's packages, since no public registry is needed for anything here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from dev.cluster import debian, native, oci
from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run, say
from dev.cluster.push import Registry

PROGRAMS = Path(__file__).parent / "workloads" / "programs"
PYTHON = "python3.11"
UNUSED_LIBRARY = (
    "config-3.11*",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "turtle*",
    "venv",
)
"""Parts of Python's library that no workload reads: the first pull of a small image is quicker than a second."""

PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
FORMAT = "3"
"""Raise it when the code below writes other bytes for the same inputs."""


def build_all(cache: Cache) -> dict[str, oci.Image]:
    """Every image by name, built where the cache has none."""
    return {
        "pause": _pause(cache),
        "counter": _workload(cache, "counter"),
        "webapp": _workload(cache, "webapp"),
        "debian-python": _debian_python(cache),
    }


def push_all(registry: Registry, images: dict[str, oci.Image]) -> dict[str, str]:
    """Push what the registry lacks, and return each image's full reference."""
    return {name: registry.push(name, oci.tag_of(image), image) for name, image in images.items()}


def _pause(cache: Cache) -> oci.Image:
    binary = native.pause(cache)

    def make(folder: Path) -> None:
        root = folder / "root"
        root.mkdir(parents=True)
        shutil.copy2(binary, root / "pause")
        oci.build(folder, [oci.layer_tar(root)], {"Entrypoint": ["/pause"]})

    return oci.read(cache.get("image-pause", key_of(FORMAT, binary), make))


def _workload(cache: Cache, program: str) -> oci.Image:
    source = PROGRAMS / f"{program}.py"
    base = _small_python(cache)

    def make(folder: Path) -> None:
        app = folder / "root" / "app"
        app.mkdir(parents=True)
        shutil.copyfile(source, app / source.name)
        settings = {
            "Entrypoint": [f"/usr/bin/{PYTHON}", "-u", f"/app/{source.name}"],
            "Env": [PATH, "PYTHONDONTWRITEBYTECODE=1"],
        }
        oci.build(folder, [base.read_bytes(), oci.layer_tar(folder / "root")], settings)

    return oci.read(cache.get(f"image-{program}", key_of(FORMAT, base.name, source), make))


def _debian_python(cache: Cache) -> oci.Image:
    root = debian.image_file_system(cache)

    def make(folder: Path) -> None:
        say("packing the image debian-python (once, about 20 s)")
        folder.mkdir()
        chosen = [path for path in root.rglob("*") if path.relative_to(root).parts[0] not in ("dev", "proc", "sys")]
        oci.build(folder, [oci.layer_tar(root, chosen)], {"Cmd": ["/bin/bash"], "Env": [PATH]})

    return oci.read(cache.get("image-debian-python", key_of(FORMAT, root.name), make))


def _small_python(cache: Cache) -> Path:
    """A layer with Python and busybox cut out of Debian: a tenth of a whole Debian with Python."""
    root = debian.image_file_system(cache)

    def make(layer: Path) -> None:
        target = layer.with_name(layer.name + ".root")
        shutil.rmtree(target, ignore_errors=True)
        _cut_out(root, target)
        layer.write_bytes(oci.layer_tar(target))
        shutil.rmtree(target)

    return cache.get("layer-python", key_of(FORMAT, root.name, *UNUSED_LIBRARY), make)


def _cut_out(root: Path, target: Path) -> None:
    furnish(root, target)
    library = Path("usr/lib") / PYTHON
    unused = shutil.ignore_patterns(*UNUSED_LIBRARY, "__pycache__")
    shutil.copytree(root / library, target / library, symlinks=True, ignore=unused)
    extensions = [path.relative_to(target) for path in (target / library).rglob("*.so")]
    copy_programs(root, target, [Path("usr/bin") / PYTHON], extensions)
    (target / "usr/bin/python3").symlink_to(PYTHON)
    # Compiled once, here, and never checked against times: a workload writes nothing of its own at its start.
    compile_library = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"/{library}"]
    run(["chroot", target, f"/usr/bin/{PYTHON}", *compile_library], timeout_s=120)


def furnish(root: Path, target: Path) -> None:
    """The least that a container of ours has: folders, busybox under all of its names, two users."""
    for folder in ("bin", "etc", "usr/bin", "usr/lib", "var/tmp", "root", "proc", "sys", "dev", "tmp"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    (target / "tmp").chmod(0o1777)
    shutil.copy2(resolve(root, Path("bin/busybox")), target / "bin/busybox")
    for name in run([target / "bin/busybox", "--list"]).split():
        if name != "busybox":
            (target / "bin" / name).symlink_to("busybox")
    (target / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/tmp:/bin/sh\n")
    (target / "etc/group").write_text("root:x:0:\napp:x:1000:\n")


def copy_programs(root: Path, target: Path, programs: Sequence[Path], libraries: Sequence[Path] = ()) -> None:
    """Copy programs out of a root with all that they load; `libraries` are loaded at run time, and copied elsewhere."""
    for path in (*programs, *_loaded(root, [*programs, *libraries])):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(resolve(root, path), target / path)


def _loaded(root: Path, programs: Sequence[Path]) -> list[Path]:
    """The loader and the libraries that some programs load, relative to the root, by asking the root's own loader."""
    loader = next((root / "lib64").glob("ld-linux*")).name
    found = {Path("lib64") / loader}
    for program in programs:
        answer = run(["chroot", root, f"/lib64/{loader}", "--list", f"/{program}"])
        found.update(Path(path.lstrip("/")) for path in re.findall(r"=> (/\S+)", answer))
    return sorted(found)


def resolve(root: Path, path: Path) -> Path:
    """Follow a file's links as the root itself would: absolute ones start at the root, not at ours."""
    place = root / path
    while place.is_symlink():
        link = place.readlink()
        place = root / link.relative_to("/") if link.is_absolute() else place.parent / link
    return place
