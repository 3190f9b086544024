"""Image references by the grammar of distribution/reference, and protocols of services."""

import pytest

from ksnap.dashboard.writes.validators import protocol_fits, why_no_image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "reference",
    [
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "localhost/app",
        "localhost:5000/app:v1",
        "registry.example/team/app__x:V1.0-rc_1",
        "[::1]:5000/app",
        f"nginx@{DIGEST}",
        f"registry.example:443/a/b:tag@{DIGEST}",
        "a@sha512:" + "b" * 128,
        "REGISTRY.example/app",
    ],
)
def test_references(reference: str) -> None:
    assert why_no_image(reference) == ""


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("", "invalid reference format"),
        ("Nginx", "lowercase"),
        ("team/App", "lowercase"),
        ("nginx:", "invalid reference format"),
        ("nginx:a b", "invalid reference format"),
        ("nginx:" + "x" * 129, "invalid reference format"),
        ("https://registry.example/app", "invalid reference format"),
        ("nginx@sha256:abc", "digest"),
        ("nginx@", "digest"),
        ("nginx@sha256:" + "a" * 65, "digest"),
        ("a" * 64, "hexadecimal"),
        ("-bad.example/app", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("nginx\n", "invalid reference format"),
    ],
)
def test_what_is_none(reference: str, part: str) -> None:
    assert part in why_no_image(reference)


@pytest.mark.parametrize(
    ("protocol", "is_external", "fits"),
    [("TCP", True, True), ("TCP", False, True), ("UDP", False, True), ("UDP", True, False), ("udp", True, False)],
)
def test_protocols(protocol: str, *, is_external: bool, fits: bool) -> None:
    assert protocol_fits(protocol, is_external=is_external) is fits
