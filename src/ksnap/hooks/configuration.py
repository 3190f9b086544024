"""The MutatingWebhookConfiguration of a hook (admissionregistration.k8s.io/v1): built, applied in place, removed.

By server-side apply, so that what others add to it stays, and there is no moment without it.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from ksnap.errors import NotFound
from ksnap.kube.connection import ClusterConnection
from ksnap.model.snap_labels import ALIAS, MUTATED, SNAP

PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
FIELD_MANAGER = "ksnap"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
NAME_LIMIT = 63
# Of the answer itself; what a hook waits for besides is added.
ANSWER_S = 2
LONGEST_S = 30


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the configuration says."""

    hook: str
    cluster: str
    url: str
    ca_bundle_pem: str
    own_namespace: str
    wait_s: int = 0

    @property
    def name(self) -> str:
        """`snaphook-<hook>-<cluster>`, shortened by a hash of the whole where it is too long."""
        whole = f"snaphook-{self.hook}-{self.cluster}"
        if len(whole) <= NAME_LIMIT:
            return whole
        return f"{whole[: NAME_LIMIT - 9]}-{sha256(whole.encode()).hexdigest()[:8]}"

    def manifest(self) -> dict[str, Any]:
        labels = {
            "app": "snaphook",
            "component": "webhook",
            "managed-by": "snapapi",
            "hook-name": self.hook,
            "cluster-name": self.cluster,
        }
        outside = ["kube-system", self.own_namespace]
        excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": outside}
        opting_in = enumerate((SNAP, f"{ALIAS}/snap"))
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.name, "labels": labels},
            "webhooks": [self._webhook(label, number, excluded) for number, label in opting_in],
        }

    def _webhook(self, label: str, number: int, excluded: dict[str, Any]) -> dict[str, Any]:
        """One for each label that opts in: a selector has no `or`. A pod with both is patched by the first alone."""
        expressions: list[dict[str, Any]] = [
            {"key": label, "operator": "In", "values": ["true"]},
            {"key": MUTATED, "operator": "DoesNotExist"},
            {"key": f"{ALIAS}/mutated", "operator": "DoesNotExist"},
        ]
        if number:
            expressions.append({"key": SNAP, "operator": "NotIn", "values": ["true"]})
        return {
            "name": f"snaphook-{self.hook}{'-alias' * number}.weaversoft.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": min(LONGEST_S, ANSWER_S + self.wait_s),
            "clientConfig": {"url": self.url, "caBundle": b64encode(self.ca_bundle_pem.encode()).decode()},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                 "scope": "Namespaced"}
            ],
            "objectSelector": {"matchExpressions": expressions},
            "namespaceSelector": {"matchExpressions": [excluded]},
        }  # fmt: skip


async def apply(connection: ClusterConnection, webhook: Webhook) -> None:
    """Create it or bring it up to date. Again is harmless."""
    await connection.patch(
        f"{PATH}/{quote(webhook.name, safe='')}",
        webhook.manifest(),
        what=f"webhook configuration {webhook.name}",
        params={"fieldManager": FIELD_MANAGER, "force": "true"},
        content_type=APPLY,
    )


async def remove(connection: ClusterConnection, name: str) -> None:
    """Delete it; absent is as good."""
    try:
        await connection.delete(f"{PATH}/{quote(name, safe='')}", what=f"webhook configuration {name}")
    except NotFound:
        return


async def installed(connection: ClusterConnection, name: str) -> dict[str, Any] | None:
    """What is there, or None."""
    try:
        return await connection.get(f"{PATH}/{quote(name, safe='')}", what=f"webhook configuration {name}")
    except NotFound:
        return None


def differences(installed: dict[str, Any], webhook: Webhook) -> list[str]:
    """Where a cluster's configuration is not as it should be; what others have added to it is no difference."""
    return list(_differences(webhook.manifest(), installed, ""))


def _differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            there = found.get(name) if isinstance(found, dict) else None
            yield from _differences(value, there, f"{path}.{name}".lstrip("."))
    elif path == "webhooks":
        by_name = {each.get("name"): each for each in found or []}
        for each in wanted:
            yield from _differences(each, by_name.get(each["name"]), f"{path}[{each['name']}]")
    elif wanted != found:
        yield path
