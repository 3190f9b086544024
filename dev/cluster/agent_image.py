"""The agent's image, from the repository's Dockerfile on our base, in the open registry.

Made in two steps, since the slow half seldom changes. The *whole* image is what buildah makes of the Dockerfile and
all wheels; it is made again when the Dockerfile, the lock or the project's settings change. The image *of this tree*
is that one with ksnap's own files replaced, in a layer on top: seconds after an edit. Both are found by a hash of
what goes in.

The build reaches no package index: wheels are made and downloaded outside, and the context holds `Dockerfile`,
`wheels/` and `ksnap-runc`.
"""

from __future__ import annotations

import compileall
import json
import py_compile
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from dev.cluster import gobuild, oci, packages
from dev.cluster.cache import Cache, key_of
from dev.cluster.commands import run, run_logged, say
from dev.cluster.errors import ClusterError
from dev.cluster.info import ClusterInfo
from dev.cluster.push import Registry

REPOSITORY = Path(__file__).parents[2]
NAME = "ksnap-agent"
PACKAGE = "ksnap"
WHOLE_INPUTS = ("Dockerfile", "pyproject.toml", "uv.lock")
TREE_INPUTS = ("LICENSE", "README.md", "runtime", "src")
WRAPPER = Path("opt/ksnap/bin/ksnap-runc")
"""Where the image has the runtime wrapper, as the Dockerfile says."""
PYTHON_VERSION = (3, 11)
"""Of the base image: wheels are chosen for it, whatever runs this."""


def ensure(cluster: ClusterInfo, cache: Cache) -> str:
    """Return the full reference of the image of this very tree, making first what the registry lacks."""
    missing = [name for name in (*WHOLE_INPUTS, *TREE_INPUTS) if not (REPOSITORY / name).exists()]
    if missing:
        raise ClusterError(f"{REPOSITORY} lacks {', '.join(missing)}, of which the agent's image is made")
    registry = Registry(cluster.registries["open"].host, cluster.ca_file)
    base = cluster.images["debian-python"]
    whole = "whole-" + key_of(base, *(REPOSITORY / name for name in WHOLE_INPUTS))
    tree = "tree-" + key_of(whole, *(REPOSITORY / name for name in TREE_INPUTS))
    with cache.scratch(NAME) as scratch:
        digest = registry.digest(NAME, tree)
        if digest is not None:
            return f"{registry.host}/{NAME}@{digest}"
        wheel = _own_wheel(scratch / "own")
        wrapper = gobuild.runtime_wrapper(cache)
        if registry.digest(NAME, whole) is None:
            _build_whole(
                cache, scratch, (wheel, wrapper), base=base, target=f"{registry.host}/{NAME}:{whole}", ca=registry.ca
            )
        return _push_tree(registry, scratch, (wheel, wrapper), whole, tree)


def _own_wheel(folder: Path) -> Path:
    run(["uv", "build", "--quiet", "--wheel", "--out-dir", folder, REPOSITORY], timeout_s=180)
    return next(folder.glob("*.whl"))


def _build_whole(cache: Cache, scratch: Path, own: tuple[Path, Path], *, base: str, target: str, ca: Path) -> None:
    packages.ensure(packages.NEEDED_FOR_BUILDS, cache.log("packages"))
    context = scratch / "context"
    shutil.copytree(_dependencies(cache), context / "wheels")
    wheel, wrapper = own
    shutil.copy2(wheel, context / "wheels")
    shutil.copy2(wrapper, context / WRAPPER.name)
    shutil.copyfile(REPOSITORY / "Dockerfile", context / "Dockerfile")
    certificates = scratch / "certificates"
    certificates.mkdir()
    shutil.copyfile(ca, certificates / "ca.crt")
    say("building the agent's image (once per change of its Dockerfile or dependencies, about 30 s)")
    # A store of its own that goes with the folder: the machine's other images are none of our business.
    buildah = ["buildah", f"--root={scratch / 'store'}", f"--runroot={scratch / 'run'}", "--storage-driver=overlay"]
    trust = f"--cert-dir={certificates}"
    build = ["build", trust, "--isolation=chroot", "--network=host", f"--build-arg=BASE={base}"]
    log = cache.log(NAME)
    run_logged([*buildah, *build, f"--tag={target}", str(context)], log=log, timeout_s=600)
    run_logged([*buildah, "push", trust, target], log=log, timeout_s=300)


def _push_tree(registry: Registry, scratch: Path, own: tuple[Path, Path], whole: str, tree: str) -> str:
    manifest: dict[str, Any] = json.loads(registry.fetch(NAME, f"manifests/{whole}"))
    config: dict[str, Any] = json.loads(registry.fetch(NAME, f"blobs/{manifest['config']['digest']}"))
    root, layer = scratch / "layer", scratch / "image"
    layer.mkdir()
    wheel, wrapper = own
    unpack_package(wheel, root / python_path(config))
    (root / WRAPPER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(wrapper, root / WRAPPER)
    (root / WRAPPER).chmod(0o755)
    return registry.push(NAME, tree, oci.extend(layer, manifest, config, oci.layer_tar(root)))


def python_path(config: dict[str, Any]) -> str:
    """Where the image looks for Python packages, relative to its root: the Dockerfile's own word for it."""
    env = dict(variable.split("=", 1) for variable in config["config"].get("Env", []))
    if "PYTHONPATH" not in env:
        raise ClusterError("the agent's image sets no PYTHONPATH, by which its packages are found")
    return str(env["PYTHONPATH"]).lstrip("/")


def unpack_package(wheel: Path, target: Path) -> None:
    """Put our own package there, to replace the one below as a whole (an opaque folder, by the image-spec)."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target, [name for name in archive.namelist() if name.startswith(f"{PACKAGE}/")])
    (target / PACKAGE / ".wh..wh..opq").touch()
    if sys.version_info[:2] == PYTHON_VERSION:
        # Nothing can be written later, and modules that are compiled at every start make every start slower.
        never_checked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(target / PACKAGE, quiet=1, stripdir=str(target), invalidation_mode=never_checked)


def _dependencies(cache: Cache) -> Path:
    """Wheels of what the agent depends on, as locked."""
    export = ["uv", "export", "--quiet", "--project", str(REPOSITORY), "--no-dev", "--extra", "agent"]
    locked = run([*export, "--no-emit-project", "--no-hashes", "--no-header", "--no-annotate"], timeout_s=60)
    version = ".".join(str(part) for part in PYTHON_VERSION)
    pip = ["uv", "run", "--no-project", "--with", "pip", "python", "-m", "pip"]
    choice = ["--no-deps", "--only-binary=:all:", f"--python-version={version}"]

    def make(folder: Path) -> None:
        say("downloading the agent's dependencies (once per change of the lock, about 20 s)")
        folder.mkdir()
        requirements = folder / "requirements.txt"
        requirements.write_text(locked)
        download = [*pip, "download", *choice, f"--dest={folder}", f"--requirement={requirements}"]
        run_logged(download, log=cache.log("agent-wheels"), timeout_s=300)
        requirements.unlink()

    return cache.get("agent-wheels", key_of(locked, version), make)
