"""What details of all kinds share."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.common import as_record, conditions, row_of, section, selects, selects_labels, set_only
from ksnap.dashboard.kinds.configmaps import CONFIG_MAPS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.selection.views import Around

LABELS = {"app": "web", "tier": "front"}


def test_a_details_row_is_its_lists() -> None:
    found = {"metadata": {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    row = row_of(CONFIG_MAPS, {**found, "data": {"left": "out"}}, Around("c", {}))
    assert row == {"objectMeta": found["metadata"], "typeMeta": {"kind": "configmap"}}


def test_an_object_that_nobody_had_thought_of_has_its_metadata() -> None:
    found = {"metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": "none"}}
    record = as_record(PODS.resource, found)
    assert (record.key, record.images) == (("n", "a"), ())


@pytest.mark.parametrize("time", ["lastProbeTime", "lastHeartbeatTime", "lastUpdateTime"])
def test_conditions_have_all_fields(time: str) -> None:
    given: list[dict[str, Any]] = [{"type": "Ready", "status": "True", time: "2026-01-01T00:00:00Z", "other": 1}]
    assert list(msgspec.to_builtins(conditions(given))) == [
        {
            "type": "Ready",
            "status": "True",
            "lastProbeTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": None,
            "reason": "",
            "message": "",
        }
    ]
    assert conditions(None) == ()


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "none", "operator": "In", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "none", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Likes"}]}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any] | None, *, matches: bool) -> None:
    assert selects(selector, LABELS) is matches


def test_plain_selectors() -> None:
    assert selects_labels({"app": "web"}, LABELS)
    assert not selects_labels({"app": "api"}, LABELS)
    assert not selects_labels({}, LABELS)
    assert not selects_labels(None, LABELS)


def test_sections_and_fields_that_may_be_missing() -> None:
    assert section({"spec": {"template": {"spec": {"a": 1}}}}, "spec", "template", "spec") == {"a": 1}
    assert section({"spec": None}, "spec", "template") == {}
    assert set_only(a=None, b="", c=0, d=False, e=[], f="x") == {"c": 0, "d": False, "f": "x"}
