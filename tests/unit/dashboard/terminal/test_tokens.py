"""A token that comes along with a connection must be the one that opened its session."""

import pytest

from ksnap.dashboard.terminal.tokens import digest, fits

OPENED_WITH = digest("a.b=c")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": "theme=dark"},
        {"authorization": "Bearer a.b=c"},
        {"authorization": "bearer a.b=c ", "cookie": "theme=dark; token=a.b=c"},
        {"cookie": "token=a.b%3Dc"},
    ],
)
def test_fits(headers: dict[str, str]) -> None:
    assert fits(headers, OPENED_WITH)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer other"},
        {"authorization": "Basic a.b=c"},
        {"authorization": "nonsense"},
        {"cookie": "token=other"},
        {"authorization": "Bearer a.b=c", "cookie": "token=other"},
    ],
)
def test_does_not_fit(headers: dict[str, str]) -> None:
    assert not fits(headers, OPENED_WITH)
