"""Addresses that registries hand out."""

import pytest

from ksnap.errors import RegistryConnectionFailed
from ksnap.registry.addresses import resolve, same_origin, with_query

BASE = "https://registry.test:5000/v2/snap/x/blobs/uploads/"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/snap/x/blobs/uploads/1?_state=a", "https://registry.test:5000/v2/snap/x/blobs/uploads/1?_state=a"),
        ("1?_state=a", "https://registry.test:5000/v2/snap/x/blobs/uploads/1?_state=a"),
        ("https://store.test/1", "https://store.test/1"),
        ("http://registry.test:5000/1", "https://registry.test:5000/1"),
        ("http://registry.test/1", "https://registry.test:5000/1"),
    ],
)
def test_resolve(location: str, target: str) -> None:
    assert resolve(BASE, location) == target


@pytest.mark.parametrize("location", ["http://store.test/1", "ftp://registry.test/1", "javascript:1"])
def test_unusable_addresses_are_refused(location: str) -> None:
    with pytest.raises(RegistryConnectionFailed):
        resolve(BASE, location)


def test_plain_registries_stay_plain() -> None:
    assert resolve("http://registry.test/v2/", "/x") == "http://registry.test/x"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://registry.test:5000/other", True),
        ("https://registry.test/other", False),
        ("http://registry.test:5000/other", False),
        ("https://registry.test.evil:5000/", False),
        ("https://user@registry.test:5000/", True),
    ],
)
def test_same_origin(other: str, same: bool) -> None:  # noqa: FBT001
    assert same_origin(BASE, other) is same


def test_default_ports_are_equal_to_none() -> None:
    assert same_origin("https://registry.test", "https://registry.test:443/x")


def test_queries_are_added_to_and_replaced() -> None:
    assert (
        with_query("https://r/u?_state=a%2Bb%3D", digest="sha256:1") == "https://r/u?_state=a%2Bb%3D&digest=sha256%3A1"
    )
    assert with_query("https://r/u?digest=x", digest="y") == "https://r/u?digest=y"
