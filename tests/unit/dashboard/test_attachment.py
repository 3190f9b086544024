"""Names of downloads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.attachment import content_disposition, safe_name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logs-from-app-in-web.log", 'attachment; filename="logs-from-app-in-web.log"'),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("na\u00efve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
        ('x"; filename="y', 'attachment; filename="x_; filename=_y"'),
        ("a\r\nSet-Cookie: x", 'attachment; filename="a__Set-Cookie_ x"'),
        ("../../etc/passwd", 'attachment; filename="_.._etc_passwd"'),
        ("system:node.yaml", 'attachment; filename="system_node.yaml"'),
        ("photo\u202egpj.exe", 'attachment; filename="photo_gpj.exe"'),
        ("..", 'attachment; filename="download"'),
        ("", 'attachment; filename="download"'),
    ],
)
def test_header(name: str, value: str) -> None:
    assert content_disposition(name) == value


def test_a_long_name_keeps_its_end() -> None:
    assert safe_name("x" * 300 + ".yaml") == "x" * 195 + ".yaml"


@given(st.text())
def test_any_name_is_one_header_of_ascii(name: str) -> None:
    value = content_disposition(name)
    assert value.isascii()
    assert value.isprintable()
    plain = value.removeprefix('attachment; filename="').partition('"')[0]
    assert plain
    assert not set(plain) & set('/\\:"')
    assert plain.strip(". ") == plain
