"""What the contract's section 15 says of each workload, out of what `kubectl get -o json` says of it."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
SCALABLE = {"deployment", "replicaset", "replicationcontroller", "statefulset"}
RESTARTABLE = {"deployment", "daemonset", "statefulset"}


def row(kind: str, found: Json) -> Json:
    """A list's row, without the counts of pods by phase and warnings."""
    return {"objectMeta": object_meta(found), "typeMeta": type_meta(kind), **_ROWS[kind](found)}


def detail(kind: str, found: Json) -> Json:
    """What a detail has beyond that."""
    return _DETAILS[kind](found) if kind in _DETAILS else {}


def object_meta(found: Json) -> Json:
    names = ("name", "namespace", "labels", "annotations", "creationTimestamp", "uid")
    meta = {name: found["metadata"][name] for name in names if name in found["metadata"]}
    owners = found["metadata"].get("ownerReferences")
    return (
        {**meta, "ownerReferences": [{"kind": each["kind"], "name": each["name"]} for each in owners]}
        if owners
        else meta
    )


def type_meta(kind: str) -> Json:
    scalable = {"scalable": True} if kind in SCALABLE else {}
    return {"kind": kind, **scalable, **({"restartable": True} if kind in RESTARTABLE else {})}


def _images(spec: Json) -> Json:
    return {
        "containerImages": [each["image"] for each in spec["containers"]],
        "initContainerImages": [each["image"] for each in spec.get("initContainers", [])],
    }


def _replicated(found: Json, key: str = "podInfo") -> Json:
    info = {"current": found["status"].get("replicas", 0), "desired": found["spec"]["replicas"]}
    return {key: info, **_images(found["spec"]["template"]["spec"])}


def _daemon_set(found: Json) -> Json:
    status = found["status"]
    info = {"current": status["currentNumberScheduled"], "desired": status["desiredNumberScheduled"]}
    return {"podInfo": info, **_images(found["spec"]["template"]["spec"])}


def _job(found: Json) -> Json:
    spec, conditions = found["spec"], found["status"].get("conditions", [])
    ended = [each for each in conditions if each["type"] in ("Complete", "Failed") and each["status"] == "True"]
    state = ended[0]["type"] if ended else "Running"
    desired = {"desired": spec["completions"]} if "completions" in spec else {}
    return {
        "podInfo": {"current": found["status"].get("active", 0), **desired},
        **_images(spec["template"]["spec"]),
        "parallelism": spec["parallelism"],
        "jobStatus": {
            "status": state,
            "message": ended[0].get("message", "") if state == "Failed" else "",
            "conditions": [_condition(each) for each in conditions],
        },
    }


def _condition(found: Json) -> Json:
    return {
        "type": found["type"],
        "status": found["status"],
        "lastProbeTime": found.get("lastProbeTime", found.get("lastUpdateTime")),
        "lastTransitionTime": found["lastTransitionTime"],
        "reason": found.get("reason", ""),
        "message": found.get("message", ""),
    }


def _cron_job(found: Json) -> Json:
    return {
        "schedule": found["spec"]["schedule"],
        "suspend": found["spec"]["suspend"],
        "active": len(found["status"].get("active", [])),
        "lastSchedule": found["status"].get("lastScheduleTime"),
        "containerImages": _images(found["spec"]["jobTemplate"]["spec"]["template"]["spec"])["containerImages"],
    }


def _autoscaler(found: Json) -> Json:
    """kubectl shows autoscaling/v2; without a metric of one's own there is one for 80 % of cpu."""
    spec = found["spec"]
    targets = [each["resource"]["target"].get("averageUtilization") for each in spec.get("metrics", [])]
    return {
        "scaleTargetRef": {key: spec["scaleTargetRef"][key] for key in ("kind", "name")},
        "minReplicas": spec["minReplicas"],
        "maxReplicas": spec["maxReplicas"],
        "currentCPUUtilizationPercentage": None,
        "targetCPUUtilizationPercentage": targets[0],
    }


def _budget(found: Json) -> Json:
    spec, status = found["spec"], found["status"]
    limits = {key: spec.get(key) for key in ("minAvailable", "maxUnavailable", "unhealthyPodEvictionPolicy")}
    counted = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
    return {**limits, "labelSelector": spec["selector"], **{key: status[key] for key in counted}}


def _deployment_detail(found: Json) -> Json:
    spec, status = found["spec"], found["status"]
    rolling = spec["strategy"].get("rollingUpdate")
    counted = {"updated": "updatedReplicas", "available": "availableReplicas", "unavailable": "unavailableReplicas"}
    return {
        "selector": spec["selector"]["matchLabels"],
        "statusInfo": {"replicas": status.get("replicas", 0)} | {key: status.get(of, 0) for key, of in counted.items()},
        "conditions": [_condition(each) for each in status.get("conditions", [])],
        "strategy": spec["strategy"]["type"],
        "minReadySeconds": spec.get("minReadySeconds", 0),
        "revisionHistoryLimit": spec["revisionHistoryLimit"],
        **({"rollingUpdateStrategy": rolling} if rolling else {}),
    }


_ROWS: dict[str, Callable[[Json], Json]] = {
    "deployment": lambda found: _replicated(found, "pods"),
    "replicaset": _replicated,
    "replicationcontroller": _replicated,
    "statefulset": _replicated,
    "daemonset": _daemon_set,
    "job": _job,
    "cronjob": _cron_job,
    "horizontalpodautoscaler": _autoscaler,
    "poddisruptionbudget": _budget,
}
_DETAILS: dict[str, Callable[[Json], Json]] = {
    "deployment": _deployment_detail,
    "replicaset": lambda found: {"selector": found["spec"]["selector"]},
    "replicationcontroller": lambda found: {"labelSelector": found["spec"]["selector"]},
    "daemonset": lambda found: {"labelSelector": found["spec"]["selector"]},
    "job": lambda found: {"completions": found["spec"].get("completions")},
    "cronjob": lambda found: {
        "concurrencyPolicy": found["spec"]["concurrencyPolicy"],
        "startingDeadlineSeconds": found["spec"].get("startingDeadlineSeconds"),
    },
    "horizontalpodautoscaler": lambda found: {
        "currentReplicas": found["status"].get("currentReplicas", 0),
        "desiredReplicas": found["status"].get("desiredReplicas", 0),
        "lastScaleTime": found["status"].get("lastScaleTime"),
    },
    "poddisruptionbudget": lambda _found: {"disruptedPods": {}},
}
