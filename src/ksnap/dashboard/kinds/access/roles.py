"""Roles and their bindings, of a namespace and of the whole cluster (rbac.authorization.k8s.io/v1)."""

from ksnap.dashboard.kinds.common import Json, set_only
from ksnap.dashboard.kinds.plain import detail_of, no_more
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


class Access(Record, frozen=True):
    """The lists show nothing but metadata."""


def _kind(plural: str, name: str, *, namespaced: bool) -> Kind[Access]:
    resource = Resource(plural, name, Access, group="rbac.authorization.k8s.io", namespaced=namespaced, form="metadata")
    return Kind(resource, type_name=name.lower(), row=no_more)


ROLES = _kind("roles", "Role", namespaced=True)
ROLE_BINDINGS = _kind("rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLES = _kind("clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = _kind("clusterrolebindings", "ClusterRoleBinding", namespaced=False)


def role_detail(found: Json) -> Row:
    return _role(ROLES, found)


def cluster_role_detail(found: Json) -> Row:
    """Its rules are those of all roles that it aggregates: Kubernetes fills them in."""
    return _role(CLUSTER_ROLES, found)


def role_binding_detail(found: Json) -> Row:
    return _binding(ROLE_BINDINGS, found)


def cluster_role_binding_detail(found: Json) -> Row:
    return _binding(CLUSTER_ROLE_BINDINGS, found)


def _role(kind: Kind[Access], found: Json) -> Row:
    return detail_of(kind, found, rules=found.get("rules") or [])


def _binding(kind: Kind[Access], found: Json) -> Row:
    return detail_of(kind, found, **set_only(subjects=found.get("subjects")), roleRef=found.get("roleRef") or {})
