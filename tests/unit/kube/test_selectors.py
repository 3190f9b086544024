"""Label selectors as text."""

from typing import Any

import pytest

from ksnap.kube.selectors import NOTHING, label_selector


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, NOTHING),
        ({}, ""),
        ({"app": "web", "tier": "front"}, "app=web,tier=front"),
        ({"matchLabels": {"app": "web"}}, "app=web"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["1", "2"]},
                    {"key": "b", "operator": "NotIn", "values": ["3"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ],
            },
            "app=web,a in (1,2),b notin (3),c,!d",
        ),
    ],
)
def test_selectors(selector: dict[str, Any] | None, text: str) -> None:
    assert label_selector(selector) == text
