"""What is known of runtimes by name and version; where the image engine begins and ends is held by restore_support."""

import pytest

from ksnap.model.container_runtime import ContainerRuntime, ImageRestore, parse_runtime


@pytest.mark.parametrize(
    ("text", "family", "restore"),
    [
        ("containerd://1.7.27", "containerd 1", ImageRestore.NOT_YET),
        ("containerd://2.0.5", "containerd 2", ImageRestore.NOT_YET),
        ("containerd://v2.1.9+ds1", "containerd 2", ImageRestore.BUILT_IN),
        ("containerd://2.2.6", "containerd 2", ImageRestore.BUILT_IN),
        ("containerd://2.2.7", "containerd 2", ImageRestore.SWITCH),
        ("containerd://2.3.0", "containerd 2", ImageRestore.BUILT_IN),
        ("containerd://2.3.4", "containerd 2", ImageRestore.SWITCH),
        ("containerd://2.4.0", "containerd 2", ImageRestore.REMOVED),
        ("cri-o://1.24.6", "cri-o", ImageRestore.NOT_YET),
        ("cri-o://1.31", "cri-o", ImageRestore.SWITCH),
        ("docker://27.1.1", "other", ImageRestore.UNKNOWN),
    ],
)
def test_a_version_says_what_it_can(text: str, family: str, restore: ImageRestore) -> None:
    runtime = parse_runtime(text)
    assert runtime is not None
    assert (runtime.family, runtime.image_restore) == (family, restore)


@pytest.mark.parametrize("text", ["", "containerd", "containerd://unknown", "2.1.9"])
def test_a_text_without_name_and_version_is_no_runtime(text: str) -> None:
    assert parse_runtime(text) is None


def test_it_reads_as_people_write_it() -> None:
    assert str(ContainerRuntime("containerd", (2, 1, 9))) == "containerd 2.1.9"
    assert str(ContainerRuntime("cri-o", (1, 31, 0))) == "CRI-O 1.31.0"
