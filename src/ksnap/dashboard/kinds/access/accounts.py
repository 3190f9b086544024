"""Service accounts."""

from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.plain import detail_of, no_more
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


class ServiceAccount(Record, frozen=True):
    """The list shows nothing but metadata."""


ACCOUNTS = Kind(
    Resource("serviceaccounts", "ServiceAccount", ServiceAccount, form="metadata"),
    type_name="serviceaccount",
    row=no_more,
)


def account_detail(found: Json) -> Row:
    return detail_of(ACCOUNTS, found)


def secret_names(account: Json) -> list[str]:
    """The secrets that an account names, in its own namespace."""
    return [each.get("name", "") for each in account.get("secrets") or ()]


def pull_secret_names(account: Json) -> list[str]:
    """The secrets that its pods pull images with."""
    return [each.get("name", "") for each in account.get("imagePullSecrets") or ()]
