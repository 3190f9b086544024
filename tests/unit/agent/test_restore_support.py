"""Which runtime restores images: the rules as literals, each a version that exists."""

from dataclasses import replace

import pytest

from ksnap.agent.restore_support import RuntimeEngine, RuntimeSwitches, restore_support

NOTHING_SET = RuntimeSwitches()
RESTORE_ON = RuntimeSwitches(restore=True)


@pytest.mark.parametrize(
    ("runtime", "switches", "how"),
    [
        ("containerd://2.0.5", NOTHING_SET, "none"),
        ("containerd://1.7.27", RESTORE_ON, "none"),
        ("containerd://2.1.0", NOTHING_SET, "image"),
        ("containerd://2.1.9", NOTHING_SET, "image"),
        ("containerd://v2.1.9", NOTHING_SET, "image"),
        ("containerd://2.1.9+ds1", NOTHING_SET, "image"),
        ("containerd://2.2.0", NOTHING_SET, "image"),
        ("containerd://2.2.6", NOTHING_SET, "image"),
        ("containerd://2.2.7", NOTHING_SET, "none"),
        ("containerd://2.2.7", RESTORE_ON, "image"),
        ("containerd://2.3.0", NOTHING_SET, "image"),
        ("containerd://2.3.3", NOTHING_SET, "image"),
        ("containerd://2.3.4", NOTHING_SET, "none"),
        ("containerd://2.3.4", RESTORE_ON, "image"),
        ("containerd://2.3.4", RuntimeSwitches(restore=True, criu=False), "none"),
        ("containerd://2.4.0", RESTORE_ON, "none"),
        ("containerd://3.0.0", RESTORE_ON, "none"),
        ("cri-o://1.24.6", RuntimeSwitches(criu=True), "none"),
        ("cri-o://1.31.2", RuntimeSwitches(criu=True), "image"),
        ("cri-o://1.31.2", RuntimeSwitches(criu=False), "none"),
        ("cri-o://1.31.2", NOTHING_SET, "none"),
        ("docker://27.1.1", RESTORE_ON, "none"),
        ("", RESTORE_ON, "none"),
        ("containerd://unknown", RESTORE_ON, "none"),
    ],
)
def test_support_follows_version_and_switch(runtime: str, switches: RuntimeSwitches, how: str) -> None:
    support = restore_support(runtime, switches)

    assert support.how == how
    assert support.image == (how == "image")
    assert support.reason


def test_reason_names_the_switch_that_is_missing() -> None:
    assert "enable_experimental_restore_via_create" in restore_support("containerd://2.3.4", NOTHING_SET).reason


def test_reason_tells_an_unreadable_configuration_from_one_without_the_switch() -> None:
    unreadable = restore_support("containerd://2.2.7", RuntimeSwitches(readable=False))

    assert "could not be read" in unreadable.reason


ENGINE = RuntimeEngine(installed=True, handler_binary="/opt/ksnap/bin/ksnap-runc")


@pytest.mark.parametrize(
    ("runtime", "image"), [("containerd://2.4.2", False), ("containerd://2.1.9", True), ("", False)]
)
def test_runtime_engine_comes_first_and_tells_of_the_other(runtime: str, image: bool) -> None:  # noqa: FBT001 - a table
    support = restore_support(runtime, NOTHING_SET, ENGINE)

    assert support.how == "runtime"
    assert support.image is image
    assert "ksnap-runc" in support.reason


@pytest.mark.parametrize(
    ("engine", "word"),
    [
        (RuntimeEngine(), "is not installed"),
        (RuntimeEngine(installed=True), "no runtime handler ksnap"),
        (RuntimeEngine(installed=True, handler_binary="/usr/sbin/runc"), "calls /usr/sbin/runc"),
        (RuntimeEngine(installed=True, handler_binary="ksnap-runc"), "calls ksnap-runc"),
        (RuntimeEngine(installed=True, handler_binary="/opt/not-ksnap-runc"), "calls /opt/not-ksnap-runc"),
        (RuntimeEngine(handler_binary="/opt/ksnap/bin/ksnap-runc"), "is not installed"),
        (replace(ENGINE, failed_test="no criu"), "its self-test on this node failed: no criu"),
    ],
)
def test_half_a_runtime_engine_is_none_and_says_what_lacks(engine: RuntimeEngine, word: str) -> None:
    by_image = restore_support("containerd://2.1.9", NOTHING_SET, engine)

    assert by_image.how == "image"
    assert (word in by_image.reason) is engine.installed

    nothing = restore_support("containerd://2.4.2", NOTHING_SET, engine)

    assert nothing.how == "none"
    assert word in nothing.reason
