"""The shared words: digests, references, names; their grammar by example and property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ksnap.errors import InvalidInput
from ksnap.model.digest import parse_digest, sha256_digest
from ksnap.model.image import ImageRef, check_repository, check_tag, parse_image
from ksnap.model.registry_access import RegistryAccess

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha512:" + "0" * 128,
                                  DIGEST + "\n", " " + DIGEST, "0" * 64])  # fmt: skip
def test_other_digests_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_digest(text)


def test_digests() -> None:
    assert parse_digest(DIGEST) == DIGEST == sha256_digest("0" * 64)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.test/snap/x:1", ("registry.test", "snap/x", "1", None)),
        ("registry.test:5000/x", ("registry.test:5000", "x", None, None)),
        (f"127.0.0.1:5000/a/b@{DIGEST}", ("127.0.0.1:5000", "a/b", None, DIGEST)),
        (f"[::1]:5000/a:t@{DIGEST}", ("[::1]:5000", "a", "t", DIGEST)),
    ],
)
def test_references(text: str, parts: tuple[str, str, str | None, str | None]) -> None:
    found = parse_image(text)
    assert (found.host, found.repository, found.tag, found.digest) == parts
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "x", "nginx:1", "registry.test/", "registry.test/X", "registry.test/a//b", "registry.test/../x",
             "registry.test/x:", "-bad/x", "a b/x", "registry.test/x@sha256:1", "user:pw@registry.test/x",
             "registry.test/x:1\n", "registry.test/x\n", "registry.test\n/x"],
)  # fmt: skip
def test_bad_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_image(text)


@given(st.text(max_size=300))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse_image(text)
    except InvalidInput:
        return
    assert parse_image(str(found)) == found


@pytest.mark.parametrize("name", ["", "/x", "x/", "A", "a..b", "a___b", "x" * 256, "../x", "a:b", "a\n"])
def test_bad_repositories(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_repository(name)


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a" * 129, "a/b", "a:b", "ä", "a\n"])
def test_bad_tags(tag: str) -> None:
    with pytest.raises(InvalidInput):
        check_tag(tag)


def test_pinned_references_have_no_tag() -> None:
    assert str(ImageRef("r.test", "x", "1").pinned(parse_digest(DIGEST))) == f"r.test/x@{DIGEST}"


def test_registry_passwords_show_in_messages_alone() -> None:
    access = RegistryAccess(host="r.test", username="me", password=SecretStr("hidden"))
    assert "hidden" not in repr(access) + str(access) + repr(access.model_dump())
    assert RegistryAccess.model_validate_json(access.model_dump_json()) == access
