"""Rollouts of deployments, daemon sets and stateful sets (contract, sections 14 and 16).

Version 2.7 of the Dashboard has the deployments' ones below `/{kind}/...`; these answer for every kind that can.
"""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BeforeValidator

from ksnap.dashboard.discovery import Kind
from ksnap.dashboard.writes import rollouts
from ksnap.dashboard.writes.known_kinds import DAEMON_SET, DEPLOYMENT, STATEFUL_SET
from ksnap.errors import InvalidInput
from ksnap.kube.connection import Json
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.trail import InTrail, Trail

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
DEPLOYMENTS = "/deployment/{namespace}/{deployment}"
OLDER = "/{kind}/{namespace}/{deployment}"
_RESTARTABLE = {each.kind.lower(): each for each in (DEPLOYMENT, DAEMON_SET, STATEFUL_SET)}


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Rollback(Request):
    revision: Annotated[str, BeforeValidator(_text)]
    """As the ReplicaSet's annotation has it."""


@router.put(f"{DEPLOYMENTS}/pause", summary="Pause a rollout")
@router.put(f"{OLDER}/pause", summary="Pause a rollout (older path)")
async def pause(at: AsCaller, namespace: str, deployment: str, trail: InTrail, kind: str = "deployment") -> Response:
    _only_deployments(kind, "paused")
    async with trail.line(at, "rollout_paused", DEPLOYMENT.what(namespace, deployment)):
        return json_answer(await rollouts.pause(at, namespace, deployment))


@router.put(f"{DEPLOYMENTS}/resume", summary="Resume a rollout")
@router.put(f"{OLDER}/resume", summary="Resume a rollout (older path)")
async def resume(at: AsCaller, namespace: str, deployment: str, trail: InTrail, kind: str = "deployment") -> Response:
    _only_deployments(kind, "resumed")
    async with trail.line(at, "rollout_resumed", DEPLOYMENT.what(namespace, deployment)):
        return json_answer(await rollouts.resume(at, namespace, deployment))


@router.put(f"{DEPLOYMENTS}/rollback", summary="Go back to a revision")
@router.put(f"{OLDER}/rollback", summary="Go back to a revision (older path)")
async def roll_back(
    *, at: AsCaller, namespace: str, deployment: str, trail: InTrail, body: Rollback, kind: str = "deployment"
) -> Response:
    _only_deployments(kind, "rolled back")
    target = f"{DEPLOYMENT.what(namespace, deployment)} to revision {body.revision[:20]}"
    async with trail.line(at, "rollout_rolled_back", target):
        changed = await rollouts.roll_back(at, namespace, deployment, body.revision)
    return json_answer(rollouts.revision_of(changed))


@router.put(f"{DEPLOYMENTS}/restart", summary="Have all pods replaced")
async def restart_deployment(at: AsCaller, namespace: str, deployment: str, trail: InTrail) -> Response:
    return json_answer(rollouts.revision_of(await _restarted(at, DEPLOYMENT, namespace, deployment, trail)))


@router.put("/daemonset/{namespace}/{daemon_set}/restart", summary="Have all pods replaced")
async def restart_daemon_set(at: AsCaller, namespace: str, daemon_set: str, trail: InTrail) -> Response:
    return json_answer(await _restarted(at, DAEMON_SET, namespace, daemon_set, trail))


@router.put("/statefulset/{namespace}/{stateful_set}/restart", summary="Have all pods replaced")
async def restart_stateful_set(at: AsCaller, namespace: str, stateful_set: str, trail: InTrail) -> Response:
    return json_answer(await _restarted(at, STATEFUL_SET, namespace, stateful_set, trail))


@router.put(f"{OLDER}/restart", summary="Have all pods replaced (older path)")
async def restart(at: AsCaller, kind: str, namespace: str, deployment: str, trail: InTrail) -> Response:
    known = _RESTARTABLE.get(kind.lower())
    if known is None:
        raise _cannot_be(kind, "restarted", ", ".join(_RESTARTABLE))
    changed = await _restarted(at, known, namespace, deployment, trail)
    return json_answer(rollouts.revision_of(changed) if known is DEPLOYMENT else changed)


async def _restarted(at: AsCaller, kind: Kind, namespace: str, name: str, trail: Trail) -> Json:
    async with trail.line(at, "rollout_restarted", kind.what(namespace, name)):
        return await rollouts.restart(at, kind, namespace, name)


def _only_deployments(kind: str, done: str) -> None:
    if kind.lower() != "deployment":
        raise _cannot_be(kind, done, "deployment")


def _cannot_be(kind: str, done: str, can: str) -> InvalidInput:
    return InvalidInput(f"This kind cannot be {done}", details=f"{kind[:100]}; can: {can}")
