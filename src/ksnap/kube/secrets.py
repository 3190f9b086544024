"""Pull credentials as Secrets of a cluster. Their contents appear in no message and no error."""

import base64
import json
from collections.abc import Sequence
from urllib.parse import quote

from ksnap.errors import NotFound
from ksnap.kube.connection import ClusterConnection, Json
from ksnap.model.registry_access import RegistryAccess


def pull_secret(name: str, accounts: Sequence[RegistryAccess], *, labels: dict[str, str]) -> Json:
    """A Secret of type kubernetes.io/dockerconfigjson with the accounts of some registries."""
    config = json.dumps({"auths": {each.host: {"auth": _basic(each)} for each in accounts}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "labels": labels},
        "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
    }


def _basic(access: RegistryAccess) -> str:
    pair = f"{access.username}:{access.password.get_secret_value()}"
    return base64.b64encode(pair.encode()).decode()


def secrets_path(namespace: str, secret: str = "") -> str:
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"
    return f"{path}/{quote(secret, safe='')}" if secret else path


async def create_secret(connection: ClusterConnection, namespace: str, secret: Json) -> Json:
    what = f"secret {namespace}/{secret['metadata']['name']}"
    return await connection.post(secrets_path(namespace), secret, what=what)


async def own_secret(connection: ClusterConnection, namespace: str, secret: str, pod: Json) -> None:
    """Make a pod the owner of a Secret, so that the cluster deletes it with the pod."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    patch = {"metadata": {"ownerReferences": [owner]}}
    await connection.patch(secrets_path(namespace, secret), patch, what=f"secret {namespace}/{secret}")


async def delete_secret(connection: ClusterConnection, namespace: str, secret: str) -> None:
    """Absent is as good as deleted."""
    try:
        await connection.delete(secrets_path(namespace, secret), what=f"secret {namespace}/{secret}")
    except NotFound:
        return
