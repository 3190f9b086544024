"""The quick half of the agent's image: ksnap's own files over an image that has all the rest."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from dev.cluster import oci
from dev.cluster.agent_image import python_path, unpack_package
from dev.cluster.errors import ClusterError


def test_the_layer_replaces_the_package_and_nothing_else(tmp_path: Path) -> None:
    wheel = tmp_path / "ksnap-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ksnap/__init__.py", "")
        archive.writestr("ksnap/agent/app.py", "x = 1\n")
        archive.writestr("ksnap-0.1.0.dist-info/METADATA", "Name: ksnap\n")
    unpack_package(wheel, tmp_path / "root" / "opt/ksnap")

    with tarfile.open(fileobj=io.BytesIO(oci.layer_tar(tmp_path / "root"))) as tar:
        files = {member.name for member in tar if member.isreg() and "__pycache__" not in member.name}
    package = "opt/ksnap/ksnap"
    assert files == {f"{package}/.wh..wh..opq", f"{package}/__init__.py", f"{package}/agent/app.py"}


def test_packages_are_where_the_image_says() -> None:
    assert python_path({"config": {"Env": ["PATH=/bin", "PYTHONPATH=/opt/ksnap"]}}) == "opt/ksnap"
    with pytest.raises(ClusterError, match="PYTHONPATH"):
        python_path({"config": {"Env": []}})
