"""Which objects a selection names."""

import pytest

from ksnap.dashboard.export_selection import Chosen, parse_chosen
from ksnap.errors import InvalidInput


def test_each_once_in_order() -> None:
    words = ["pod/shop/web", "node/n1", "pod/shop/web", "fleets.example.com/shop/f"]
    assert parse_chosen(words) == [
        Chosen("pod", "shop", "web"),
        Chosen("node", "", "n1"),
        Chosen("fleets.example.com", "shop", "f"),
    ]


@pytest.mark.parametrize("words", [[], ["pod"], ["pod/"], ["/web"], ["pod//web"], ["a/b/c/d"], ["pod/a"] * 201])
def test_what_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidInput, match="object must be"):
        parse_chosen(words)
