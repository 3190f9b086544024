"""The rights that a cluster's test asks for are those that guide and chart give."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ksnap.configuration.probe import NEEDED, Right

ROOT = Path(__file__).parents[3]
Grant = tuple[str, str]


def rules(text: str, kind: str, name: str) -> set[Grant]:
    """Verbs and resources that a role of these manifests gives in the core group."""
    found: list[dict[str, Any]] = [each for each in yaml.safe_load_all(text) if each]
    role = next(each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return {
        (verb, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        if rule["apiGroups"] == [""]
    }


def grant(right: Right) -> Grant:
    return right.verb, str(right).removeprefix(f"{right.verb} ")


@pytest.fixture(scope="module")
def guide() -> set[Grant]:
    text = (ROOT / "docs" / "guides" / "install.md").read_text()
    (block,) = [each.split("```")[0] for each in text.split("```yaml\n")[1:]]
    return rules(block, "ClusterRole", "ksnap-workloads")


@pytest.fixture(scope="module")
def chart() -> set[Grant]:
    manifest = ROOT / "SnapApi" / "snap-cluster-monitor-daemonset.yaml"
    return rules(manifest.read_text(), "Role", "ksnap-server")


def test_who_has_the_guides_and_the_charts_roles_lacks_nothing(guide: set[Grant], chart: set[Grant]) -> None:
    assert {grant(each) for each in NEEDED if not each.in_agents_namespace} <= guide
    assert {grant(each) for each in NEEDED if each.in_agents_namespace} <= guide | chart


def test_they_give_nothing_that_is_not_asked_for(guide: set[Grant], chart: set[Grant]) -> None:
    assert guide | chart == {grant(each) for each in NEEDED}
