"""An application out of a form: all of it or nothing."""

import asyncio

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import Kind
from ksnap.dashboard.writes.create import random_name
from ksnap.dashboard.writes.deployment_spec import AppSpec, deployment_of, service_of
from ksnap.dashboard.writes.known_kinds import DEPLOYMENT, SERVICE
from ksnap.dashboard.writes.undo import Created, undo
from ksnap.errors import KsnapError
from ksnap.kube.failures import KubeRefusal


async def deploy(at: ClusterAsCaller, spec: AppSpec) -> None:
    """A deployment and, with ports, its service. If the service fails, the deployment is taken away again."""
    deployment, service = deployment_of(spec), service_of(spec, random_name)
    what = DEPLOYMENT.what(spec.namespace, spec.name)
    made = await at.api.post(DEPLOYMENT.path(spec.namespace), deployment, what=what)
    if service is None:
        return
    try:
        await at.api.post(SERVICE.path(spec.namespace), service, what=SERVICE.what(spec.namespace, spec.name))
    except (KsnapError, asyncio.CancelledError):
        await undo(at, [Created(DEPLOYMENT, spec.namespace, spec.name, made["metadata"]["uid"])])
        raise


async def is_name_free(at: ClusterAsCaller, namespace: str, name: str) -> bool:
    """Whether neither a deployment nor a service has it; what the caller may not see counts as free."""
    taken = await asyncio.gather(*(_exists(at, kind, namespace, name) for kind in (DEPLOYMENT, SERVICE)))
    return not any(taken)


async def _exists(at: ClusterAsCaller, kind: Kind, namespace: str, name: str) -> bool:
    try:
        await at.api.get(kind.path(namespace, name), what=kind.what(namespace, name))
    except KubeRefusal as error:
        if error.status in {403, 404}:
            return False
        raise
    return True
