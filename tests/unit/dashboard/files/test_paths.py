"""Which path of a container may be downloaded."""

import pytest

from ksnap.dashboard.files.paths import WantedPath, wanted_path
from ksnap.errors import InvalidInput


@pytest.mark.parametrize(
    ("path", "parent", "name"),
    [
        ("/etc/hosts", "/etc", "hosts"),
        ("/var//log/./app/", "/var/log", "app"),
        ("/data", "/", "data"),
        ("/-rf", "/", "-rf"),
        ("/a/..b/c d\u00e9", "/a/..b", "c d\u00e9"),
    ],
)
def test_a_path(path: str, parent: str, name: str) -> None:
    wanted = wanted_path(path)
    assert wanted == WantedPath(parent, name)
    assert wanted.argv == ["tar", "-cf", "-", "-C", parent, "--", name]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "must begin with /"),
        ("etc", "must begin with /"),
        ("/", "whole root"),
        ("/./", "whole root"),
        ("/a/../etc", "must not hold .."),
        ("/..", "must not hold .."),
        ("/a\nb", "control characters"),
        ("/a\0b", "control characters"),
        ("/\udcff", "control characters"),
        ("/" + "a" * 4095, "at most 4095 bytes"),
    ],
)
def test_what_is_refused_says_why(path: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        wanted_path(path)
    assert why in refused.value.message
