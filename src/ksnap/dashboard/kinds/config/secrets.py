"""Secrets: what kind of secret each is, and in the detail alone its data (contract, section 15).

The list asks the API server for tables, in which the type is a column: the data never comes here, nor the copy of it
that `kubectl apply` keeps in an annotation.
"""

from collections.abc import Collection, Iterable

from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Record, without_last_applied
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings

ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
ACCOUNT_NAME = "kubernetes.io/service-account.name"


class Secret(Record, frozen=True):
    type: str = ""

    def settle(self, strings: Strings) -> None:
        without_last_applied(self)
        super().settle(strings)


def _row(secret: Secret, _around: Around) -> Row:
    return {"type": secret.type}


SECRETS = Kind(
    Resource("secrets", "Secret", Secret, form="table"),
    type_name="secret",
    row=_row,
    items="secrets",
    properties=(text("type", lambda secret: secret.type),),
)


def secret_detail(found: Json) -> Row:
    """`data` is base64, as the API server has it."""
    return detail_of(SECRETS, found, data=found.get("data") or {})


def _account(secret: Secret) -> tuple[tuple[str, str], ...]:
    account = secret.metadata.annotations.get(ACCOUNT_NAME, "")
    return ((secret.metadata.namespace, account),) if secret.type == ACCOUNT_TOKEN and account else ()


BY_ACCOUNT: Index[Secret] = Index("service account", _account)
"""Tokens by namespace and name of the account they are of."""


def tokens_of(secrets: View[Secret], namespace: str, account: str, named: Iterable[str]) -> Collection[Secret]:
    """The secrets that an account names, and its tokens: since Kubernetes 1.24 it does not name them any more."""
    found = {each.key: each for each in named_secrets(secrets, namespace, named)}
    found |= {each.key: each for each in secrets.by(BY_ACCOUNT, (namespace, account))}
    return list(found.values())


def named_secrets(secrets: View[Secret], namespace: str, names: Iterable[str]) -> Collection[Secret]:
    """Those of the secrets that exist."""
    found = (secrets.get(namespace, name) for name in dict.fromkeys(names))
    return [each for each in found if each is not None]
