"""New objects of a few kinds: a namespace, a pull secret, a job out of a cron job."""

import json
import secrets
from base64 import b64decode
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.writes.known_kinds import CRON_JOB, JOB, NAMESPACE, SECRET
from ksnap.errors import InvalidInput
from ksnap.kube.connection import Json
from ksnap.kube.failures import KubeRefusal

# Without vowels and what looks like one, as Kubernetes' own generated names are: no word comes out by chance.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
# A job's name is a label of its pods, which has 63 characters; those need room for what is added.
_NAME_PART = 41
_TRIES = 5
DOCKERCFG, DOCKERCONFIGJSON = "kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"
_KEYS = {DOCKERCFG: ".dockercfg", DOCKERCONFIGJSON: ".dockerconfigjson"}


async def create_namespace(at: ClusterAsCaller, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await at.api.post(NAMESPACE.path(), body, what=f"namespace {name}")


async def create_pull_secret(at: ClusterAsCaller, namespace: str, name: str, data: str) -> Json:
    """A secret of one of the two forms that kubelets take for pulling images; which one, its content shows."""
    form = pull_secret_form(data)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": form,
        "data": {_KEYS[form]: data},
    }
    return await at.api.post(SECRET.path(namespace), body, what=f"secret {namespace}/{name}")


def pull_secret_form(data: str) -> str:
    """The type of a pull secret: `dockerconfigjson` has its registries below `auths`, `dockercfg` on top."""
    try:
        content: Any = json.loads(b64decode(data, validate=True))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidInput("The pull secret's data is not valid", details="data: it must be JSON in base64")
    return DOCKERCONFIGJSON if isinstance(content.get("auths"), dict) else DOCKERCFG


async def trigger(at: ClusterAsCaller, namespace: str, name: str) -> Json:
    """A job out of a cron job, now."""
    cron_job = await at.api.get(CRON_JOB.path(namespace, name), what=CRON_JOB.what(namespace, name))
    for left in reversed(range(_TRIES)):
        job = manual_job(cron_job, random_name(3))
        try:
            return await at.api.post(JOB.path(namespace), job, what=f"job {namespace}/{job['metadata']['name']}")
        except KubeRefusal as error:
            if not left or error.reason != "AlreadyExists":
                raise
    raise AssertionError("the last try raises")


def manual_job(cron_job: Json, suffix: str) -> Json:
    """As `kubectl create job --from` makes it."""
    template, metadata = cron_job["spec"]["jobTemplate"], cron_job["metadata"]
    given = template.get("metadata") or {}
    owner = {
        "apiVersion": CRON_JOB.api_version,
        "kind": CRON_JOB.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": f"{metadata['name'][:_NAME_PART].rstrip('-.')}-manual-{suffix}",
            "namespace": metadata["namespace"],
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def random_name(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
