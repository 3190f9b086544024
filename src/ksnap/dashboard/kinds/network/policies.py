"""Network policies."""

from ksnap.dashboard.kinds.common import Json, section, set_only
from ksnap.dashboard.kinds.network.ingresses import GROUP
from ksnap.dashboard.kinds.plain import detail_of, no_more
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


class NetworkPolicy(Record, frozen=True):
    """The list shows nothing but metadata."""


NETWORK_POLICIES = Kind(
    Resource("networkpolicies", "NetworkPolicy", NetworkPolicy, group=GROUP, form="metadata"),
    type_name="networkpolicy",
    row=no_more,
)


def network_policy_detail(found: Json) -> Row:
    spec = section(found, "spec")
    rules = set_only(ingress=spec.get("ingress"), egress=spec.get("egress"), policyTypes=spec.get("policyTypes"))
    return detail_of(NETWORK_POLICIES, found, podSelector=spec.get("podSelector") or {}, **rules)
