"""docs/reference/cli.md is what the program says of itself."""

from pathlib import Path

from ksnap.cli.reference import reference

PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "write it again: python -m ksnap.cli.reference > docs/reference/cli.md"


def test_no_option_takes_a_secret() -> None:
    """Whatever is about a password or token is about a file that holds it."""
    options = [line.split()[0] for line in reference().splitlines() if line.startswith("  --")]
    suspicious = [each for each in options if any(word in each for word in ("password", "token", "secret"))]
    assert suspicious
    assert all(each.endswith("-file") for each in suspicious)
